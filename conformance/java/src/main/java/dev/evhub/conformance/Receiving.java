package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.that;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventHubConsumerClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.LastEnqueuedEventProperties;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/** Cases about receiving. */
final class Receiving {
    private Receiving() {}

    @Case("receive-all-partitions")
    static void allPartitions(Scene s) {
        s.partitions.forEach(partition -> s.send(Sending.numbered(partition, 10), partition));
        Reader reader = s.readerOfAll();
        reader.take(10 * s.partitions.size());
        s.partitions.forEach(partition -> s.send(List.of(partition + " 10"), partition));
        reader.take(11 * s.partitions.size());
        s.partitions.forEach(partition -> equal("partition " + partition, reader.of(partition), Sending.numbered(partition, 11)));
    }

    // A client without a callback: each call gets what is there from a position, and waits if there is nothing.
    @Case("receive-in-batches")
    static void inBatches(Scene s) {
        List<String> sent = Sending.numbered("event", 25);
        s.send(sent);
        EventHubConsumerClient consumer = s.closing(s.client().buildConsumerClient());
        List<String> got = new ArrayList<>();
        List<Integer> batches = new ArrayList<>();
        EventPosition position = EventPosition.earliest();
        for (boolean live = false; got.size() < 26; ) {
            List<EventData> batch = consumer.receiveFromPartition("0", 10, position, Duration.ofMillis(500)).stream()
                .map(PartitionEvent::getData).toList();
            batches.add(batch.size());
            got.addAll(Reader.bodies(batch));
            if (!batch.isEmpty()) {
                position = EventPosition.fromSequenceNumber(batch.get(batch.size() - 1).getSequenceNumber());
            } else if (got.size() == 25 && !live) {
                s.send(List.of("event 25"));
                live = true;
            }
        }
        equal("bodies", got, Sending.numbered("event", 26));
        that(Collections.max(batches) <= 10, () -> "the batches have " + batches + " events");
    }

    @Case("receive-backlog")
    static void backlog(Scene s) {
        List<String> bodies = Sending.numbered("x".repeat(100), 5000);
        EventHubProducerClient producer = s.producer();
        for (int i = 0; i < bodies.size(); i += 500) {
            producer.send(Sending.filled(producer.createBatch(new CreateBatchOptions().setPartitionId("0")), bodies.subList(i, i + 500)));
        }
        Reader reader = s.reader("0");
        List<EventData> events = reader.take(bodies.size());
        equal("sequence numbers", events.stream().map(EventData::getSequenceNumber).toList(), LongStream.range(0, 5000).boxed().toList());
        equal("bodies", reader.bodies(), bodies);
    }

    @Case("receive-without-checkpoints")
    static void withoutCheckpoints(Scene s) {
        s.partitions.forEach(partition -> s.send(Sending.numbered(partition, 5), partition));
        for (int run = 0; run < 2; run++) {
            Reader reader = s.processor(s.processing(s.connection).initialPartitionEventPosition(partition -> EventPosition.earliest()));
            reader.take(10);
            s.partitions.forEach(partition -> equal("partition " + partition, reader.of(partition), Sending.numbered(partition, 5)));
            reader.close();
        }
    }

    @Case("receive-closed-by-client")
    static void closedByClient(Scene s) {
        EventHubProducerClient producer = s.producer();
        AtomicBoolean stop = new AtomicBoolean();
        CompletableFuture<Void> producing = Scene.background(() -> {
            while (!stop.get()) {
                producer.send(IntStream.range(0, 10).mapToObj(i -> new EventData("event")).toList(), new SendOptions().setPartitionId("0"));
            }
        });
        try {
            for (int run = 0; run < 2; run++) {
                List<EventHubConsumerAsyncClient> clients = Stream.generate(() -> s.client().buildAsyncConsumerClient()).limit(5).toList();
                List<Reader> readers = clients.stream()
                    .map(client -> s.closing(Reader.of(client, client.receiveFromPartition("0", EventPosition.earliest())))).toList();
                readers.forEach(reader -> reader.take(10));
                clients.forEach(EventHubConsumerAsyncClient::close);
                readers.forEach(Reader::end);
                readers.forEach(reader -> equal("errors", reader.errors(), List.of()));
            }
        } finally {
            stop.set(true);
            producing.join();
        }
    }

    @Case("last-enqueued")
    static void lastEnqueued(Scene s) {
        s.send(List.of("first", "second", "third"));
        ReceiveOptions tracking = new ReceiveOptions().setTrackLastEnqueuedEventProperties(true);
        Reader reader = s.reader(s.client(), "0", EventPosition.earliest(), tracking);
        isLast(reader.take(3).get(2), reader.last());
        s.send(List.of("fourth"));
        isLast(reader.take(4).get(3), reader.last());
        Reader incurious = s.reader("0");
        incurious.take(4);
        equal("without asking", incurious.last(), null);
    }

    private static void isLast(EventData event, LastEnqueuedEventProperties last) {
        equal("number", last.getSequenceNumber(), event.getSequenceNumber());
        equal("offset", last.getOffset(), event.getOffset());
        equal("time", last.getEnqueuedTime(), event.getEnqueuedTime());
        that(!last.getRetrievalTime().isBefore(last.getEnqueuedTime()), () -> "retrieved at " + last.getRetrievalTime());
    }

    @Case("two-groups")
    static void twoGroups(Scene s) {
        List<String> sent = Sending.numbered("event", 10);
        s.send(sent);
        EventPosition earliest = EventPosition.earliest();
        List<Reader> readers = List.of(
            s.reader(s.client().consumerGroup("cg1"), "0", earliest, new ReceiveOptions().setOwnerLevel(1L)),
            s.reader(s.client().consumerGroup("cg2"), "0", earliest, new ReceiveOptions().setOwnerLevel(2L)),
            s.reader(s.client().consumerGroup("$default"), "0", earliest, new ReceiveOptions()));
        readers.forEach(reader -> reader.take(10));
        s.send(List.of("event 10"));
        for (Reader reader : readers) {
            reader.take(11);
            equal("bodies", reader.bodies(), Sending.numbered("event", 11));
        }
    }

    @Case("five-readers-and-sixth")
    static void fiveAndSixth(Scene s) {
        s.partitions.forEach(partition -> s.send(List.of("before"), partition));
        List<Reader> readers = Stream.generate(() -> s.reader("0")).limit(5).toList();
        readers.forEach(reader -> reader.take(1));
        Reader sixth = s.reader(s.client().retryOptions(Scene.ONCE), "0", EventPosition.earliest(), new ReceiveOptions());
        s.isAnswer(sixth.error());
        equal("bodies", sixth.bodies(), List.of());
        s.reader("1").take(1);
        s.reader(s.client().consumerGroup("cg1"), "0", EventPosition.earliest(), new ReceiveOptions()).take(1);
        s.send(List.of("after"));
        for (Reader reader : readers) {
            reader.take(2);
            equal("bodies", reader.bodies(), List.of("before", "after"));
        }
    }
}
