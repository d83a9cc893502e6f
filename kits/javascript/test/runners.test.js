import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./run.js";

// What a failure looks like in each runner: the miss with the test's own line, and what a test left behind.
const runners = {
  node: ["failing/node.js"],
  jest: ["node_modules/jest/bin/jest.js", "--config", "failing/jest.config.cjs"],
  vitest: ["node_modules/vitest/vitest.mjs", "run", "--config", "failing/vitest.config.js"],
};

describe("failures", { concurrency: true }, () => {
  for (const [name, command] of Object.entries(runners)) {
    test(`in ${name}`, async () => {
      const { code, out, err } = await run(command, { NO_COLOR: "1" });
      const text = out + err;
      assert.equal(code, 1, text);
      assert.match(text, /want 1 event \(subset \{"State":"paid"\}\) in orders since m0, matched 0 of 1 seen in .*\n *nearest 0\/0: body\.State\n *- paid\n *\+ open/);
      assert.match(text, /want 1 event \(key = late\) in orders since m0, matched 0 of 0 seen in 4(\.\d)?s\n.*\n *no client came/);
      assert.match(text, /the space '.*' was not left clean:\n *fault f1 \(drop on send\) never fired/);
      assert.match(text, /(node|fails\.jest|fails\.vitest)\.c?js:\d+/);
      assert.doesNotMatch(text, /f1 \(throttle on send\) never fired|(space|api|hooks)\.cjs:/);
    });
  }
});
