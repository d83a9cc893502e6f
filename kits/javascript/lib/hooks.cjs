"use strict";

const { optionsOf } = require("./options.cjs");
const { stopUnusedServer } = require("./server.cjs");
const { SPACE_OPTIONS, openSpace } = require("./space.cjs");

/**
 * Gives useSpace for a test runner. Its hooks are beforeEach(f), afterEach(f) where f wants to know whether the test failed, and afterAll(f).
 */
function spaceHooks({ beforeEach, afterEach, afterAll }) {
  return function useSpace(hubs, options = {}) {
    const { verify = true, ...ofSpace } = optionsOf("useSpace", options, "verify", ...SPACE_OPTIONS);
    let space;
    beforeEach(async () => {
      space = await openSpace(hubs, ofSpace);
    });
    afterEach(async (failed) => {
      const closing = space;
      space = undefined;
      // A test that failed half-way is not asked about what it left behind.
      await closing?.close({ verify: verify && !failed });
    });
    afterAll(stopUnusedServer); // where one process runs many test files, their brokers would add up
    return new Proxy(Object.freeze({}), { get: (_, name) => memberOf(space, name) });
  };
}

function memberOf(space, name) {
  if (space === undefined) {
    if (name === "then" || typeof name === "symbol") return undefined; // awaited or printed, which is no use of it
    throw new Error(`useSpace: '${name}' is there while a test runs, and not before or after; each test has a space of its own`);
  }
  const member = space[name];
  return typeof member === "function" ? member.bind(space) : member;
}

module.exports = { spaceHooks };
