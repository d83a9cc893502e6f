"use strict";

const { EventHubsError, ExpectationFailed } = require("./errors.cjs");
const { spaceHooks } = require("./hooks.cjs");
const { startServer, stopServer } = require("./server.cjs");
const { openSpace } = require("./space.cjs");

module.exports = { openSpace, spaceHooks, startServer, stopServer, EventHubsError, ExpectationFailed };
