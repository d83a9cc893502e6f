package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.that;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubConsumerClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.EventHubProperties;
import com.azure.messaging.eventhubs.PartitionProperties;
import java.time.Instant;
import java.util.List;

/** Cases about the properties of hubs and partitions. */
final class HubProperties {
    private HubProperties() {}

    @Case("hub-properties")
    static void hub(Scene s) {
        EventHubProducerClient producer = s.producer();
        EventHubConsumerClient consumer = s.closing(s.client().buildConsumerClient());
        for (EventHubProperties properties : List.of(producer.getEventHubProperties(), consumer.getEventHubProperties())) {
            equal("name", properties.getName(), s.hub);
            equal("partition ids", properties.getPartitionIds().stream().toList(), s.partitions);
            Instant created = properties.getCreatedAt();
            Instant now = Instant.now();
            that(!created.isAfter(now) && created.isAfter(now.minusSeconds(3600)), () -> "created at " + created);
        }
        equal("partition ids alone", producer.getPartitionIds().stream().toList(), s.partitions);
        equal("partition ids alone", consumer.getPartitionIds().stream().toList(), s.partitions);
    }

    @Case("partition-properties-empty")
    static void emptyPartition(Scene s) {
        EventHubProducerClient producer = s.producer();
        EventHubConsumerClient consumer = s.closing(s.client().buildConsumerClient());
        for (String partition : s.partitions) {
            isEmpty(s, partition, producer.getPartitionProperties(partition));
            isEmpty(s, partition, consumer.getPartitionProperties(partition));
        }
    }

    @Case("partition-properties")
    static void partition(Scene s) {
        s.send(List.of("first", "second", "third"), "1");
        EventData last = s.reader("1").take(3).get(2);
        EventHubProducerClient producer = s.producer();
        EventHubConsumerClient consumer = s.closing(s.client().buildConsumerClient());
        List<Object> want = List.of(s.hub, "1", 0L, 2L, String.valueOf(last.getOffset()), false, last.getEnqueuedTime());
        equal("partition 1", shown(producer.getPartitionProperties("1")), want);
        equal("partition 1", shown(consumer.getPartitionProperties("1")), want);
        isEmpty(s, "0", producer.getPartitionProperties("0"));
        isEmpty(s, "0", consumer.getPartitionProperties("0"));
    }

    private static void isEmpty(Scene s, String partition, PartitionProperties properties) {
        equal("partition " + partition, shown(properties),
            List.of(s.hub, partition, -1L, -1L, "-1", true, Instant.parse("0001-01-01T00:00:00Z")));
    }

    private static List<Object> shown(PartitionProperties p) {
        return List.of(p.getEventHubName(), p.getId(), p.getBeginningSequenceNumber(), p.getLastEnqueuedSequenceNumber(),
            p.getLastEnqueuedOffset(), p.isEmpty(), p.getLastEnqueuedTime());
    }
}
