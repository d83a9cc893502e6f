"use strict";

const { after, afterEach, beforeEach } = require("node:test");
const { spaceHooks } = require("./hooks.cjs");

module.exports.useSpace = spaceHooks({
  beforeEach,
  afterEach: (close) => afterEach((context) => close(context?.passed === false)),
  afterAll: after,
});
