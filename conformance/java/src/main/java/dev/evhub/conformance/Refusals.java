package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import java.util.List;
import java.util.function.Supplier;

/** Cases about what the broker must refuse, and how. */
final class Refusals {
    private Refusals() {}

    @Case("unknown-hub")
    static void unknownHub(Scene s) {
        everythingIsRefused(s, () -> s.client(s.connection, s.hub + "-missing"));
    }

    @Case("wrong-key")
    static void wrongKey(Scene s) {
        everythingIsRefused(s, () -> s.client(s.credentials.get("app"), s.hub));
    }

    @Case("unknown-policy")
    static void unknownPolicy(Scene s) {
        everythingIsRefused(s, () -> s.client(s.credentials.get("stranger"), s.hub));
    }

    @Case("expired-token")
    static void expiredToken(Scene s) {
        everythingIsRefused(s, () -> s.client(s.credentials.get("app"), s.hub));
    }

    private static void everythingIsRefused(Scene s, Supplier<EventHubClientBuilder> client) {
        Supplier<EventHubClientBuilder> once = () -> client.get().retryOptions(Scene.ONCE);
        EventHubProducerClient producer = s.producer(once.get());
        s.refused(() -> producer.send(event()));
        s.refused(() -> producer.createBatch());
        s.refused(() -> producer.getEventHubProperties());
        EventHubConsumerClient consumer = s.closing(once.get().buildConsumerClient());
        s.refused(() -> consumer.getPartitionProperties("0"));
        s.isAnswer(s.reader(once.get(), "0", EventPosition.earliest(), new ReceiveOptions()).error());
    }

    @Case("unknown-group")
    static void unknownGroup(Scene s) {
        s.send(List.of("event"));
        EventHubClientBuilder client = s.client().consumerGroup("missing").retryOptions(Scene.ONCE);
        Reader reader = s.reader(client, "0", EventPosition.earliest(), new ReceiveOptions());
        s.isAnswer(reader.error());
        equal("bodies", reader.bodies(), List.of());
    }

    @Case("unknown-partition")
    static void unknownPartition(Scene s) {
        EventHubProducerClient producer = s.producer(s.client().retryOptions(Scene.ONCE));
        for (String partition : List.of(String.valueOf(s.partitions.size()), "-1", "XYZ")) {
            s.refused(() -> producer.getPartitionProperties(partition));
            s.refused(() -> producer.send(event(), new SendOptions().setPartitionId(partition)));
            s.isAnswer(s.reader(s.client().retryOptions(Scene.ONCE), partition, EventPosition.earliest(), new ReceiveOptions()).error());
        }
    }

    @Case("missing-send")
    static void missingSend(Scene s) {
        String listener = s.credentials.get("listener");
        s.send(List.of("event"));
        s.reader(s.client(listener, s.hub), "0", EventPosition.earliest(), new ReceiveOptions()).take(1);
        EventHubProducerClient producer = s.producer(s.client(listener, s.hub).retryOptions(Scene.ONCE));
        equal("partitions", producer.getPartitionIds().stream().toList(), s.partitions);
        s.refused(() -> producer.send(event()));
        s.refused(() -> producer.send(event(), new SendOptions().setPartitionId("0")));
        s.refused(() -> producer.createBatch());
    }

    @Case("missing-listen")
    static void missingListen(Scene s) {
        String sender = s.credentials.get("sender");
        s.producer(s.client(sender, s.hub)).send(event(), new SendOptions().setPartitionId("0"));
        EventHubClientBuilder client = s.client(sender, s.hub).retryOptions(Scene.ONCE);
        Reader reader = s.reader(client, "0", EventPosition.earliest(), new ReceiveOptions());
        s.isAnswer(reader.error());
        equal("bodies", reader.bodies(), List.of());
    }

    private static List<EventData> event() {
        return List.of(new EventData("event"));
    }
}
