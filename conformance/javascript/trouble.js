// Cases about readers that stop, and about connections that break or fall silent.

import { setTimeout as sleep } from "node:timers/promises";

import { check, equal } from "./harness.js";
import { SECONDS_MAX, event } from "./sdk.js";

// A client that comes back soon. The SDK does not tell a send that was under way, nor a reader, that the connection broke: a send ends when
// the attempt's time is up, a reader looks again when its wait for events is over.
const QUICK = { retryOptions: { maxRetries: 100, retryDelayInMs: 200, timeoutInMs: 3000 } };
const SHORT_WAITS = { maxWaitTimeInSeconds: 0.5 };

export const trouble = {
  async "receive-stopped-readers"(s) {
    const path = await s.path();
    const busy = s.reader("0");
    const deaf = s.reader("0", undefined, { client: { connection: path.connection } });
    const free = s.reader("0");
    await s.send(["first"]);
    for (const reader of [busy, deaf, free]) await reader.take(1);
    busy.hold();
    await path.stall("broker");
    await sendLarge(s.producer(), 300);
    await free.take(301);
    check(busy.events.length < 301 && deaf.events.length < 301, "the stopped readers did not stop");
    busy.letGo();
    await path.resume();
    for (const reader of [busy, deaf]) {
      const events = await reader.take(301);
      equal("sequence numbers", reader.numbers, [...Array(301).keys()]);
      check(events.every(({ body }, i) => body.equals(free.events[i].body)), "the bodies differ");
    }
  },

  async "recover-outage"(s) {
    const path = await s.path();
    const client = { connection: path.connection, ...QUICK };
    // A client for each partition: when several share a connection, the SDK's receivers get in each other's way as they connect again.
    const readers = s.partitions.map((partition) => s.reader(partition, undefined, { client, ...SHORT_WAITS }));
    readers.push(s.reader("0", undefined, { group: "cg1", ownerLevel: 1, client, ...SHORT_WAITS }));
    const senders = [singly(s.producer(client)), buffered(s, client)];
    for (const reader of readers) await reader.take(10);
    const before = await path.ends();
    equal("connections that ended", before.filter((by) => by), []);

    await path.cut();
    await sleep(2000); // so long it lasts
    await path.mend();

    const acknowledged = await Promise.all(senders.map((sender) => sender.stopAfter(20)));
    equal("connections that were cut", (await path.ends()).slice(0, before.length), before.map(() => "cut"));
    for (const reader of readers) {
      const want = acknowledged[reader.partitions[0]];
      await reader.until(() => reader.bodies.includes(want.at(-1)), "last event", { errors: true });
      equal("sequence numbers", reader.numbers, [...reader.events.keys()]);
      equal("first arrivals", [...new Set(reader.bodies)], want); // an event whose answer was lost may have been sent again
    }
    const { lastEnqueuedSequenceNumber } = await s.consumer(undefined, client).getPartitionProperties("0");
    equal("last number", lastEnqueuedSequenceNumber, readers[0].numbers.at(-1));
  },

  async "recover-idle"(s) {
    const beating = await idler(s, "0");
    const silent = await idler(s, "1");
    const opened = await beating.path.ends();
    const hushed = await silent.path.stall("client");
    // The beating connections carried their last event before the others fell silent, so they pass the time-out sooner.
    const ended = (ends) => ends.slice(0, hushed.length).every((by) => by === "broker");
    await silent.path.until(ended, "end of the silent connections", 2 * s.idleTimeoutSeconds + 10);
    equal("the beating connections", await beating.path.ends(), opened.map(() => ""));
    for (const { producer, reader, partition } of [beating, silent]) {
      await producer.sendBatch([event("after")], { partitionId: partition });
      await reader.until(() => reader.events.length >= 2, "event after", { errors: true });
      equal("bodies", reader.bodies, ["before", "after"]);
    }
    equal("the beating connections", await beating.path.ends(), opened.map(() => ""));
  },
};

/** A producer and a reader on a path of their own, with nothing more to do. */
async function idler(s, partition) {
  const path = await s.path();
  const client = { connection: path.connection, ...QUICK };
  const producer = s.producer(client);
  const reader = s.reader(partition, undefined, { client, ...SHORT_WAITS });
  await producer.sendBatch([event("before")], { partitionId: partition });
  await reader.take(1);
  return { path, producer, reader, partition };
}

async function sendLarge(producer, count) {
  const batch = Array.from({ length: 15 }, (_, i) => ({ body: Buffer.alloc(60_000, i + 1) }));
  for (let sent = 0; sent < count; sent += batch.length) await producer.sendBatch(batch, { partitionId: "0" });
}

/** Sends one event after the other to partition 0. */
function singly(producer) {
  const acknowledged = [];
  return untilStopped("single", acknowledged, async (body) => {
    await producer.sendBatch([event(body)], { partitionId: "0" });
    acknowledged.push(body);
  });
}

/** Leaves event after event to a buffered producer, for partition 1. */
function buffered(s, client) {
  const acknowledged = [];
  const failed = [];
  const producer = s.buffered({
    ...client,
    maxWaitTimeInMs: 50,
    onSendEventsSuccessHandler: ({ events }) => acknowledged.push(...events.map((e) => e.body.toString())),
    onSendEventsErrorHandler: ({ error }) => failed.push(error),
  });
  return untilStopped("buffered", acknowledged, async (body) => {
    await producer.enqueueEvent(event(body), { partitionId: "1" });
    equal("failed", failed, []);
  });
}

/** Goes on sending. stopAfter sees so many more acknowledged, and then all; it gives what was acknowledged. */
function untilStopped(name, acknowledged, send) {
  let stop = false;
  let failed = false;
  let sent = 0;
  const run = async () => {
    for (; !stop; sent++) {
      await send(`${name} ${sent}`);
      await sleep(5);
    }
  };
  const running = run();
  running.catch(() => (failed = true)); // stopAfter tells
  const reached = async (count) => {
    const deadline = Date.now() + SECONDS_MAX * 1000;
    while (acknowledged.length < count() && !failed) {
      check(Date.now() < deadline, `${acknowledged.length} of ${sent} ${name} events were acknowledged`);
      await sleep(20);
    }
  };
  return {
    async stopAfter(more) {
      const enough = acknowledged.length + more;
      await reached(() => enough);
      stop = true;
      await running;
      await reached(() => sent);
      return acknowledged;
    },
  };
}
