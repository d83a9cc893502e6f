"use strict";

const { afterAll, afterEach, beforeEach } = require("@jest/globals");
const { spaceHooks } = require("./hooks.cjs");

// Jest does not tell hooks how the test went. A hook with a parameter would be given a callback.
module.exports.useSpace = spaceHooks({ beforeEach, afterEach: (close) => afterEach(() => close(false)), afterAll });
