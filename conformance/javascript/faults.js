// Cases about the faults of the test kit: what each does to the SDK. The first event always goes well, so that links are up.

import { NotApplicable, check, equal, failure } from "./harness.js";
import { CloseReason, VERSION, event } from "./sdk.js";

// A client that comes back soon.
const QUICK = { retryOptions: { maxRetries: 10, retryDelayInMs: 200, timeoutInMs: 3000 } };

export const faults = {
  "fault-throttle": (s) => s.inSpace(async (space) => {
    await space.fault("send", "throttle", { after: 1 });
    await send(s.producer(QUICK), "before", "event");
    equal("stored", await space.stored(), ["before", "event"]);
  }),

  "fault-reject": (s) => s.inSpace(async (space) => {
    const { condition } = s.answer;
    const fault = await space.fault("send", "reject", { after: 1, times: -1, condition, text: "The store is full." });
    const producer = s.producer(QUICK);
    await send(producer, "before");
    await s.refused(send(producer, "refused"));
    equal("hits", await fault.remove(), 1);
    await send(producer, "after");
    equal("stored", await space.stored(), ["before", "after"]);
  }),

  "fault-detach": (s) => recovers(s, "detach", { condition: "amqp:link:detach-forced", text: "The link is going away." }),
  "fault-close-connection": (s) => recovers(s, "close-connection"),
  "fault-drop": (s) => recovers(s, "drop"),
  "fault-expire-token": (s) => recovers(s, "expire-token"),

  "fault-ack-lost": (s) => impatient(s, async (space) => {
    await space.fault("send", "ack-lost", { after: 1 });
    await send(s.producer(QUICK), "before", "event");
    equal("stored", await space.stored(), ["before", "event", "event"]);
  }),

  "fault-blackhole": (s) => impatient(s, async (space) => {
    const timeoutInMs = 5000;
    const fault = await space.fault("send", "blackhole", { after: 1, times: -1 });
    const producer = s.producer({ retryOptions: { maxRetries: 0, timeoutInMs } });
    await send(producer, "before");
    const began = performance.now();
    const { code } = await failure(send(producer, "lost"));
    equal("code", code, "OperationTimeoutError");
    lasted(began, timeoutInMs);
    equal("hits", await fault.remove(), 1);
    await send(producer, "after");
    equal("stored", await space.stored(), ["before", "after"]);
  }),

  "fault-delay": (s) => s.inSpace(async (space) => {
    for (const op of ["send", "deliver"]) await space.fault(op, "delay", { after: 1, duration: "1s" });
    const producer = s.producer(QUICK);
    const reader = s.reader("0");
    await send(producer, "before");
    await reader.take(1);
    const began = performance.now();
    await send(producer, "event");
    lasted(began, 1000);
    await reader.take(2);
    lasted(began, 2000);
    equal("received", reader.bodies, ["before", "event"]);
    equal("stored", await space.stored(), ["before", "event"]);
  }),

  "fault-steal-epoch": (s) => s.inSpace(async (space) => {
    await space.fault("deliver", "steal-epoch", { after: 1, level: 9 });
    const reader = s.reader("0", undefined, { ownerLevel: 1 });
    await space.publish("before");
    await reader.take(1);
    await space.publish("after");
    s.isAnswer(await reader.error());
    await reader.until(() => reader.closed.length, "end of the reader", { errors: true });
    equal("closed", reader.closed, [["0", CloseReason.OwnershipLost]]);
    equal("received", reader.bodies, ["before"]);
    await s.reader("0", undefined, { ownerLevel: 1 }).take(2);
  }),

  "fault-redeliver": (s) => s.inSpace(async (space) => {
    await space.fault("deliver", "redeliver", { after: 2, back: 2 });
    await space.publish("a", "b", "c");
    const reader = s.reader("0");
    await reader.take(5);
    equal("received", reader.bodies, ["a", "b", "a", "b", "c"]);
    equal("sequence numbers", reader.numbers, [0, 1, 0, 1, 2]);
  }),
};

async function send(producer, ...bodies) {
  for (const body of bodies) await producer.sendBatch([event(body)]);
}

/** For a case whose send gets no answer. It waits for the end of its attempt's time, also if its link or connection has ended. */
async function impatient(s, act) {
  if (VERSION.startsWith("5.11.")) throw new NotApplicable("before 5.12 the SDK waits a minute for an answer to a send, or longer");
  await s.inSpace(act);
}

/** The fault meets a reader and then a producer, who go on by themselves. */
async function recovers(s, kind, more) {
  await impatient(s, async (space) => {
    await space.fault("send", kind, { after: 1, ...more });
    const delivery = await space.fault("deliver", kind, { after: 1, ...more });
    const producer = s.producer(QUICK);
    const reader = s.reader("0", undefined, { client: QUICK, maxWaitTimeInSeconds: 0.5 });
    await send(producer, "first");
    await reader.take(1);
    await space.publish("second");
    await delivery.fired();
    await send(producer, "third");
    await reader.until(() => reader.events.length >= 3, "events", { errors: true });
    equal("received", reader.bodies, ["first", "second", "third"]);
    equal("stored", await space.stored(), ["first", "second", "third"]);
  });
}

/** Compares times of performance.now(), whose clock and the timers' may differ by a millisecond. */
function lasted(began, milliseconds) {
  const took = performance.now() - began;
  check(took >= milliseconds - 2, `it took ${took} ms, less than ${milliseconds}`);
}
