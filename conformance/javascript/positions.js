// Cases about where a receiver starts.

import { NotApplicable, ONCE, check, equal } from "./harness.js";
import { EARLIEST, LATEST } from "./sdk.js";

const SENT = ["first", "second", "third"]; // starts are given by the second

export const positions = {
  "position-default": (s) => startsAtTheEnd(s, null),
  "position-earliest": (s) => starts(s, () => EARLIEST, SENT),
  "position-earliest-inclusive": (s) => starts(s, () => ({ ...EARLIEST, isInclusive: true }), SENT),
  "position-latest": (s) => startsAtTheEnd(s, LATEST),
  "position-latest-inclusive": (s) => starts(s, () => ({ ...LATEST, isInclusive: true }), SENT.slice(2)),
  "position-offset": (s) => starts(s, ({ offset }) => ({ offset }), SENT.slice(2)),
  "position-offset-inclusive": (s) => starts(s, ({ offset }) => ({ offset, isInclusive: true }), SENT.slice(1)),
  "position-sequence": (s) => starts(s, ({ sequenceNumber }) => ({ sequenceNumber }), SENT.slice(2)),
  "position-sequence-inclusive": (s) => starts(s, ({ sequenceNumber }) => ({ sequenceNumber, isInclusive: true }), SENT.slice(1)),
  "position-time": (s) => starts(s, ({ enqueuedTimeUtc }) => ({ enqueuedOn: enqueuedTimeUtc }), SENT.slice(2)),

  async "position-time-inclusive"() {
    throw new NotApplicable("the SDK leaves isInclusive away when the position is a time");
  },

  async "position-per-partition"(s) {
    for (const partition of s.partitions) await s.send(SENT, partition);
    const reader = s.reader(undefined, { 0: { sequenceNumber: 1, isInclusive: true }, 1: EARLIEST });
    await reader.take(5);
    equal("partition 0", reader.of("0"), SENT.slice(1));
    equal("partition 1", reader.of("1"), SENT);
  },

  async "position-beyond-end"(s) {
    await s.send(SENT);
    for (const position of [{ offset: "1000000" }, { sequenceNumber: 1000000 }]) {
      const reader = s.reader("0", position, { client: ONCE });
      s.isAnswer(await reader.error());
      equal("bodies", reader.bodies, []);
    }
  },
};

async function startsAtTheEnd(s, position) {
  await s.send(SENT);
  const reader = s.reader("0", position);
  const first = await s.probe(reader);
  check(first >= 0, `the first event is ${reader.bodies[0]}`);
  await s.send(["last"]);
  await reader.until(() => reader.bodies.includes("last"), "last event");
  const probes = reader.bodies.slice(1).map((_, i) => `probe ${first + i}`);
  equal("bodies", reader.bodies, [...probes, "last"]);
}

/** Starts a reader where position(second event) says, and sees that it gets what is wanted and then what is sent later. */
async function starts(s, position, want) {
  await s.sendApart(SENT);
  const events = await s.reader("0").take(SENT.length);
  const times = events.map((e) => e.enqueuedTimeUtc.getTime());
  check(times[0] < times[1] && times[1] < times[2], `the events were stored at ${times}`);
  const reader = s.reader("0", position(events[1]));
  await reader.take(want.length);
  await s.send(["later"]);
  await reader.until(() => reader.bodies.includes("later"), "later event");
  equal("bodies", reader.bodies, [...want, "later"]);
}
