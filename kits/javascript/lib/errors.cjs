"use strict";

/** The broker refused a request, or there is none. `problem` is the broker's whole answer. */
class EventHubsError extends Error {
  constructor(text, problem = {}) {
    super(text);
    this.name = "EventHubsError";
    this.problem = problem;
  }
}

/** What was expected did not come, or what must not come came. The message shows what came instead. */
class ExpectationFailed extends Error {
  constructor(text, problem) {
    super(text);
    this.name = "ExpectationFailed";
    this.problem = problem;
  }
}

/** Takes this package out of the stack, so that runners point at the test's own line. */
function ofTheTest(error) {
  error.stack = error.stack
    .split("\n")
    .filter((line) => !(line.startsWith("    at ") && line.includes(__dirname)))
    .join("\n");
  return error;
}

/** Adds to what an error says. */
function saysAlso(error, text) {
  const said = error.message;
  error.message += text;
  error.stack = error.stack.replace(said, () => error.message); // which has the message as it was when the error was made
  return error;
}

module.exports = { EventHubsError, ExpectationFailed, ofTheTest, saysAlso };
