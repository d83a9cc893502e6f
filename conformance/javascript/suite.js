// Runs the case list with @azure/event-hubs: node suite.js DIRECTORY, where the SDK was installed. The plan is in $EVHUB_PLAN, one JSON
// line a result goes to standard output.

import { readFileSync, writeSync } from "node:fs";
import { inspect } from "node:util";

import { events } from "./events.js";
import { exclusive } from "./exclusive.js";
import { faults } from "./faults.js";
import { NotApplicable, Scene } from "./harness.js";
import { positions } from "./positions.js";
import { properties } from "./properties.js";
import { receiving } from "./receiving.js";
import { refusals } from "./refusals.js";
import { sending } from "./sending.js";
import { trouble } from "./trouble.js";

const CASES = { ...events, ...exclusive, ...faults, ...positions, ...properties, ...receiving, ...refusals, ...sending, ...trouble };

const AT_ONCE = 6; // cases that run at the same time
const CASE_SECONDS_MAX = 60;

async function main() {
  const plan = JSON.parse(readFileSync(process.env.EVHUB_PLAN, "utf8"));
  const cases = plan.cases.filter(({ id }) => id in CASES);
  const work = async () => {
    // The last of the list take longest, so they begin.
    for (let next; (next = cases.pop()); ) tell(await outcome(new Scene(plan, next)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function outcome(scene) {
  const began = performance.now();
  const outcome = { case: scene.id, result: "passed", detail: "" };
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the case did not end in ${CASE_SECONDS_MAX} s`)), CASE_SECONDS_MAX * 1000);
  });
  const run = async () => {
    try {
      await CASES[scene.id](scene);
    } finally {
      await scene.close();
    }
  };
  try {
    await Promise.race([run(), late]);
  } catch (error) {
    const expected = error instanceof NotApplicable;
    Object.assign(outcome, { result: expected ? "not-applicable" : "failed", detail: expected ? error.message : inspect(error) });
  }
  clearTimeout(timer);
  return { ...outcome, seconds: Math.round((performance.now() - began) / 10) / 100 };
}

function tell(outcome) {
  writeSync(process.stdout.fd, JSON.stringify(outcome) + "\n");
}

// A promise that the SDK left alone in one case must not end the others.
process.on("unhandledRejection", (error) => console.error("nobody waits for", error));
await main();
process.exit(0); // a client that hangs must not keep the process: its case has failed already
