// Cases about the properties of hubs and partitions.

import { check, equal } from "./harness.js";

export const properties = {
  async "hub-properties"(s) {
    for (const client of [s.producer(), s.consumer()]) {
      const { name, partitionIds, createdOn, isGeoDrEnabled = false } = await client.getEventHubProperties();
      equal("name", name, s.hub);
      equal("partition ids", partitionIds, s.partitions);
      equal("geo-replicated", isGeoDrEnabled, false);
      check(createdOn <= Date.now() && createdOn > Date.now() - 3_600_000, `created on ${createdOn}`);
      equal("partition ids alone", await client.getPartitionIds(), s.partitions);
    }
  },

  async "partition-properties-empty"(s) {
    for (const client of [s.producer(), s.consumer()]) {
      for (const partition of s.partitions) isEmpty(s, partition, await client.getPartitionProperties(partition));
    }
  },

  async "partition-properties"(s) {
    await s.send(["first", "second", "third"], "1");
    const last = (await s.reader("1").take(3))[2];
    for (const client of [s.producer(), s.consumer()]) {
      equal("partition 1", await client.getPartitionProperties("1"), {
        eventHubName: s.hub, partitionId: "1", beginningSequenceNumber: 0, lastEnqueuedSequenceNumber: 2,
        lastEnqueuedOffset: last.offset, isEmpty: false, lastEnqueuedOnUtc: last.enqueuedTimeUtc,
      });
      isEmpty(s, "0", await client.getPartitionProperties("0"));
    }
  },
};

function isEmpty(s, partition, properties) {
  equal(`partition ${partition}`, properties, {
    eventHubName: s.hub, partitionId: partition, beginningSequenceNumber: -1, lastEnqueuedSequenceNumber: -1,
    lastEnqueuedOffset: "-1", isEmpty: true, lastEnqueuedOnUtc: new Date("0001-01-01T00:00:00Z"),
  });
}
