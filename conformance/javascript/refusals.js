// Cases about what the broker must refuse, and how.

import { ONCE, equal } from "./harness.js";
import { event } from "./sdk.js";

export const refusals = {
  "unknown-hub": (s) => everythingIsRefused(s, { hub: `${s.hub}-missing` }),
  "wrong-key": (s) => everythingIsRefused(s, { connection: s.credentials.app }),
  "unknown-policy": (s) => everythingIsRefused(s, { connection: s.credentials.stranger }),
  "expired-token": (s) => everythingIsRefused(s, { connection: s.credentials.app }),

  async "unknown-group"(s) {
    await s.send(["event"]);
    const reader = s.reader("0", undefined, { group: "missing", client: ONCE });
    s.isAnswer(await reader.error());
    equal("bodies", reader.bodies, []);
  },

  async "unknown-partition"(s) {
    const producer = s.producer(ONCE);
    for (const partitionId of [String(s.partitions.length), "-1", "XYZ"]) {
      await s.refused(producer.getPartitionProperties(partitionId));
      await s.refused(producer.sendBatch([event("event")], { partitionId }));
      s.isAnswer(await s.reader(partitionId, undefined, { client: ONCE }).error());
    }
  },

  async "missing-send"(s) {
    const listener = { connection: s.credentials.listener };
    await s.send(["event"]);
    await s.reader("0", undefined, { client: listener }).take(1);
    const producer = s.producer({ ...listener, ...ONCE });
    equal("partitions", await producer.getPartitionIds(), s.partitions);
    await s.refused(producer.sendBatch([event("event")]));
    await s.refused(producer.sendBatch([event("event")], { partitionId: "0" }));
    await s.refused(producer.createBatch());
  },

  async "missing-listen"(s) {
    const sender = { connection: s.credentials.sender };
    await s.producer(sender).sendBatch([event("event")], { partitionId: "0" });
    const reader = s.reader("0", undefined, { client: { ...sender, ...ONCE } });
    s.isAnswer(await reader.error());
    equal("bodies", reader.bodies, []);
  },
};

async function everythingIsRefused(s, client) {
  const producer = s.producer({ ...client, ...ONCE });
  await s.refused(producer.sendBatch([event("event")]));
  await s.refused(producer.createBatch());
  await s.refused(producer.getEventHubProperties());
  await s.refused(s.consumer(undefined, { ...client, ...ONCE }).getPartitionProperties("0"));
  s.isAnswer(await s.reader("0", undefined, { client: { ...client, ...ONCE } }).error());
}
