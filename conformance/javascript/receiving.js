// Cases about receiving.

import { ONCE, check, equal } from "./harness.js";
import { CloseReason, event } from "./sdk.js";

export const receiving = {
  async "receive-all-partitions"(s) {
    const backlog = (partition) => Array.from({ length: 10 }, (_, i) => `${partition} ${i}`);
    for (const partition of s.partitions) await s.send(backlog(partition), partition);
    const reader = s.reader();
    await reader.take(10 * s.partitions.length);
    for (const partition of s.partitions) await s.send([`${partition} live`], partition);
    await reader.take(11 * s.partitions.length);
    for (const partition of s.partitions) {
      equal(`partition ${partition}`, reader.of(partition), [...backlog(partition), `${partition} live`]);
    }
  },

  async "receive-in-batches"(s) {
    const sent = Array.from({ length: 25 }, (_, i) => `event ${i}`);
    await s.send(sent);
    const reader = s.reader("0", undefined, { maxBatchSize: 10, maxWaitTimeInSeconds: 0.5 });
    await reader.take(25);
    await reader.until(() => reader.batches.at(-1) === 0, "wait without events");
    await s.send(["live"]);
    await reader.take(26);
    equal("bodies", reader.bodies, [...sent, "live"]);
    check(Math.max(...reader.batches) <= 10, `the batches have ${reader.batches} events`);
  },

  async "receive-backlog"(s) {
    const bodies = Array.from({ length: 5000 }, (_, i) => `event ${i} ${"x".repeat(100)}`);
    const producer = s.producer();
    for (let i = 0; i < bodies.length; i += 500) {
      await producer.sendBatch(bodies.slice(i, i + 500).map((body) => event(body)), { partitionId: "0" });
    }
    const reader = s.reader("0", undefined, { maxBatchSize: 500 });
    await reader.take(bodies.length);
    equal("sequence numbers", reader.numbers, [...bodies.keys()]);
    equal("bodies", reader.bodies, bodies);
  },

  async "receive-without-checkpoints"(s) {
    const sent = (partition) => Array.from({ length: 5 }, (_, i) => `${partition} ${i}`);
    for (const partition of s.partitions) await s.send(sent(partition), partition);
    for (let run = 0; run < 2; run++) {
      const reader = s.reader();
      await reader.take(10);
      for (const partition of s.partitions) equal(`partition ${partition}`, reader.of(partition), sent(partition));
      await reader.close();
    }
  },

  async "receive-closed-by-client"(s) {
    let stop = false;
    const producer = s.producer();
    const produce = async () => {
      while (!stop) await producer.sendBatch(Array.from({ length: 10 }, () => event("event")), { partitionId: "0" });
    };
    const fiveReaders = async () => {
      const readers = Array.from({ length: 5 }, () => s.reader("0"));
      await Promise.all(readers.map((reader) => reader.take(10)));
      return readers;
    };
    const producing = produce();
    try {
      for (const reader of await fiveReaders()) {
        await reader.close();
        equal("errors", reader.errors, []);
        equal("closed", reader.closed, [["0", CloseReason.Shutdown]]);
      }
      await fiveReaders();
    } finally {
      stop = true;
      await producing;
    }
  },

  async "last-enqueued"(s) {
    await s.send(["first", "second", "third"]);
    const reader = s.reader("0", undefined, { trackLastEnqueuedEventProperties: true });
    const isLast = (got) => {
      const last = reader.context.lastEnqueuedEventProperties;
      equal("last", [last.sequenceNumber, last.offset, last.enqueuedOn], [got.sequenceNumber, got.offset, got.enqueuedTimeUtc]);
      check(last.retrievedOn >= last.enqueuedOn, `retrieved at ${last.retrievedOn}`);
    };
    isLast((await reader.take(3))[2]);
    await s.send(["fourth"]);
    isLast((await reader.take(4))[3]);
    const incurious = s.reader("0");
    await incurious.take(4);
    equal("without asking", incurious.context.lastEnqueuedEventProperties, undefined);
  },

  async "two-groups"(s) {
    const sent = Array.from({ length: 10 }, (_, i) => `event ${i}`);
    await s.send(sent);
    const groups = [["cg1", 1], ["cg2", 2], ["$default", undefined]];
    const readers = groups.map(([group, ownerLevel]) => s.reader("0", undefined, { group, ownerLevel }));
    for (const reader of readers) await reader.take(10);
    await s.send(["live"]);
    for (const reader of readers) {
      await reader.take(11);
      equal("bodies", reader.bodies, [...sent, "live"]);
    }
  },

  async "five-readers-and-sixth"(s) {
    for (const partition of s.partitions) await s.send(["before"], partition);
    const readers = Array.from({ length: 5 }, () => s.reader("0"));
    for (const reader of readers) await reader.take(1);
    const sixth = s.reader("0", undefined, { client: ONCE });
    s.isAnswer(await sixth.error());
    equal("bodies", sixth.bodies, []);
    await s.reader("1").take(1);
    await s.reader("0", undefined, { group: "cg1" }).take(1);
    await s.send(["after"]);
    for (const reader of readers) {
      await reader.take(2);
      equal("bodies", reader.bodies, ["before", "after"]);
    }
  },
};
