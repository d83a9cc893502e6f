"use strict";

const { EventHubsError, ofTheTest } = require("./errors.cjs");

/** Gives the options of a call back. One that is not known is refused: misspelt, it would have a test check less without a word. */
function optionsOf(call, options, ...known) {
  if (options === null || typeof options !== "object") {
    throw refused(`${call}: the options are an object with any of ${known.join(", ")}, not ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return options;
  throw refused(`${call}: there is no option '${unknown}'; there ${known.length > 1 ? "are" : "is only"} ${known.join(", ")}`);
}

const refused = (text) => ofTheTest(new EventHubsError(text));

module.exports = { optionsOf };
