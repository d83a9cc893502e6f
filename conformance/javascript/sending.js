// Cases about sending. What the SDK sends is always a batch, also if it is of one event.

import { ONCE, check, equal, failure } from "./harness.js";
import { event } from "./sdk.js";

// Where the service was recorded to put keys in a hub of two partitions.
const RECORDED_KEYS = {
  test_partition_a: "0", test_partition_b: "0", test_partition_c: "0",
  test_partition_d: "1", test_partition_e: "1", test_partition_f: "1",
};

const MESSAGE_BYTES_MAX = 1048576;

export const sending = {
  async "send-event"(s) {
    const began = Date.now();
    await s.producer().sendBatch([event("hello")]);
    const [got] = await s.reader().take(1);
    equal("body", got.body.toString(), "hello");
    equal("sequence number", got.sequenceNumber, 0);
    equal("offset", got.offset, "0");
    equal("partition key", got.partitionKey, undefined);
    equal("properties", got.properties ?? {}, {});
    check(began - 1000 <= got.enqueuedTimeUtc && got.enqueuedTimeUtc <= Date.now(), `enqueued at ${got.enqueuedTimeUtc}`);
  },

  async "send-batch"(s) {
    const bodies = numbered("event", 20);
    const producer = s.producer();
    await producer.sendBatch(filled(await producer.createBatch(), bodies));
    const reader = s.reader();
    const events = await reader.take(20);
    equal("partitions", new Set(reader.partitions).size, 1);
    equal("bodies", reader.bodies, bodies);
    equal("sequence numbers", reader.numbers, [...bodies.keys()]);
    const offsets = events.map((e) => Number(e.offset));
    check(offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]), `offsets are ${offsets}`);
    equal("enqueued times", new Set(events.map((e) => e.enqueuedTimeUtc.getTime())).size, 1);
  },

  async "send-to-partition"(s) {
    const producer = s.producer();
    for (const partitionId of s.partitions) {
      await producer.sendBatch([event(`single ${partitionId}`)], { partitionId });
      await producer.sendBatch([event(`list ${partitionId}`), event(`list ${partitionId}`)], { partitionId });
      await producer.sendBatch(filled(await producer.createBatch({ partitionId }), [`batch ${partitionId}`]));
    }
    const reader = s.reader();
    await reader.take(4 * s.partitions.length);
    for (const partition of s.partitions) {
      equal(`partition ${partition}`, reader.of(partition), ["single", "list", "list", "batch"].map((kind) => `${kind} ${partition}`));
    }
  },

  async "send-with-key"(s) {
    const producer = s.producer();
    for (const partitionKey of Object.keys(RECORDED_KEYS)) {
      await producer.sendBatch([event(partitionKey)], { partitionKey });
      await producer.sendBatch([event(partitionKey), event(partitionKey)], { partitionKey });
      await producer.sendBatch(filled(await producer.createBatch({ partitionKey }), [partitionKey]));
    }
    const reader = s.reader();
    const events = await reader.take(4 * Object.keys(RECORDED_KEYS).length);
    equal("partitions", reader.partitions, reader.bodies.map((key) => RECORDED_KEYS[key]));
    equal("keys", events.map((e) => e.partitionKey), reader.bodies);
    equal("keys seen", new Set(reader.bodies), new Set(Object.keys(RECORDED_KEYS)));
  },

  async "send-keyless-alternates"(s) {
    const sent = numbered("event", 8);
    const producer = s.producer();
    for (const [i, body] of sent.entries()) {
      await producer.sendBatch(i < 4 ? [event(body)] : filled(await producer.createBatch(), [body]));
    }
    const reader = s.reader();
    await reader.take(sent.length);
    const arrived = s.partitions.map((partition) => reader.of(partition)).sort();
    equal("partitions", arrived, [0, 1].map((odd) => sent.filter((_, i) => i % 2 === odd)));
  },

  async "send-many-in-order"(s) {
    const bodies = numbered("event", 1000);
    await s.send(bodies);
    const reader = s.reader("0");
    await reader.take(bodies.length);
    equal("bodies", reader.bodies, bodies);
    equal("sequence numbers", reader.numbers, [...bodies.keys()]);
  },

  async "send-two-producers"(s) {
    const sent = { a: numbered("a", 150), b: numbered("b", 150) };
    const produce = async (bodies) => {
      const producer = s.producer();
      for (const [i, body] of bodies.entries()) await producer.sendBatch([event(body)], { partitionId: s.partitions[i % 2] });
    };
    const consume = async (group) => {
      const reader = s.reader(undefined, undefined, { group });
      await reader.take(300);
      equal("events", reader.bodies.sort(), [...sent.a, ...sent.b].sort());
      for (const [name, bodies] of Object.entries(sent)) {
        for (const [i, partition] of s.partitions.entries()) {
          const arrived = reader.of(partition).filter((body) => body.startsWith(name));
          equal(`events of ${name} in partition ${partition}`, arrived, bodies.filter((_, j) => j % 2 === i));
        }
      }
    };
    await Promise.all([consume("$Default"), consume("cg1"), produce(sent.a), produce(sent.b)]);
  },

  async "send-many-producers"(s) {
    const produce = async (name) => {
      const producer = s.producer();
      for (const body of numbered(name, 10)) await producer.sendBatch([event(body)]);
    };
    const names = numbered("producer", 32);
    await Promise.all(names.map(produce));
    const reader = s.reader();
    await reader.take(320);
    equal("events", reader.bodies.sort(), names.flatMap((name) => numbered(name, 10)).sort());
  },

  // The SDK places a key itself and does not send it along.
  async "send-buffered"(s) {
    const succeeded = [];
    const failed = [];
    const producer = s.buffered({
      maxWaitTimeInMs: 200,
      onSendEventsSuccessHandler: ({ events }) => succeeded.push(...events),
      onSendEventsErrorHandler: ({ error }) => failed.push(error),
    });
    const free = numbered("free", 200);
    const keyed = numbered("keyed", 100);
    for (const body of free) await producer.enqueueEvent(event(body));
    await producer.flush();
    equal("reported after flush", [succeeded.length, failed], [200, []]);
    for (const body of keyed) await producer.enqueueEvent(event(body), { partitionKey: "key" });
    const reader = s.reader();
    await reader.take(300); // the keyed ones go when the wait is over
    await reader.until(() => succeeded.length === 300, "report of all events");
    equal("errors", failed, []);
    equal("events", reader.bodies.sort(), [...free, ...keyed].sort());
    const home = s.partitions.filter((partition) => reader.of(partition).includes("keyed 0"));
    equal("keyed", reader.of(home[0]).filter((body) => body.startsWith("keyed")), keyed);
  },

  async "size-at-limit"(s) {
    const producer = s.producer();
    const body = Buffer.alloc(await bodyBytesMax(producer), Uint8Array.from({ length: 256 }, (_, i) => i));
    const batch = await producer.createBatch();
    check(batch.tryAdd({ body }), "the SDK did not take it");
    equal("size", batch.sizeInBytes, MESSAGE_BYTES_MAX);
    await producer.sendBatch(batch);
    const [got] = await s.reader("0").take(1);
    check(got.body.equals(body), "the body came back changed");
  },

  async "size-above-limit"(s) {
    const producer = s.producer(ONCE);
    await producer.sendBatch([event("before")]);
    const send = (bytes) => producer.sendBatch([{ body: Buffer.alloc(bytes) }]); // at the size of a list the SDK does not look
    const { message } = await failure(send(MESSAGE_BYTES_MAX));
    const around = Number(/size:([0-9]+) bytes/.exec(message)[1]) - MESSAGE_BYTES_MAX; // differs from version to version
    await s.refused(send(MESSAGE_BYTES_MAX + 1 - around));
    await producer.sendBatch([event("after")]);
    const reader = s.reader("0");
    await reader.take(2);
    equal("bodies", reader.bodies, ["before", "after"]);
  },

  async "size-full-batch"(s) {
    const producer = s.producer();
    const batch = await producer.createBatch();
    equal("limit", batch.maxSizeInBytes, MESSAGE_BYTES_MAX);
    while (batch.tryAdd({ body: Buffer.alloc(2000), properties: { number: batch.count } }));
    await producer.sendBatch(batch);
    const events = await s.reader("0").take(batch.count);
    equal("numbers", events.map((e) => e.properties.number), [...events.keys()]);
  },
};

function numbered(name, count) {
  return Array.from({ length: count }, (_, i) => `${name} ${i}`);
}

function filled(batch, bodies) {
  for (const body of bodies) check(batch.tryAdd(event(body)), "the batch is full");
  return batch;
}

/** How large the body of a lone event may be, for a message of the size limit. */
async function bodyBytesMax(producer) {
  const batch = await producer.createBatch();
  check(batch.tryAdd({ body: Buffer.alloc(100_000) }), "the batch is full");
  return MESSAGE_BYTES_MAX - (batch.sizeInBytes - 100_000);
}
