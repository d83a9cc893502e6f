package dev.evhub.conformance;

import static dev.evhub.conformance.Check.SECONDS_MAX;
import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.eventually;
import static dev.evhub.conformance.Check.that;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubBufferedProducerClient;
import com.azure.messaging.eventhubs.EventHubProducerAsyncClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import dev.evhub.conformance.Case.NotApplicable;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Cases about sending. A list or batch of one event the SDK sends as a plain message. */
final class Sending {
    /** Where the service was recorded to put keys in a hub of two partitions. */
    private static final Map<String, String> RECORDED_KEYS = Map.of(
        "test_partition_a", "0", "test_partition_b", "0", "test_partition_c", "0",
        "test_partition_d", "1", "test_partition_e", "1", "test_partition_f", "1");

    private static final int MESSAGE_BYTES_MAX = 1_048_576;

    private Sending() {}

    @Case("send-event")
    static void event(Scene s) {
        Instant began = Instant.now();
        s.producer().send(events("hello"));
        EventData got = s.readerOfAll().take(1).get(0);
        equal("body", got.getBodyAsString(), "hello");
        equal("sequence number", got.getSequenceNumber(), 0L);
        equal("offset", got.getOffset(), 0L);
        equal("partition key", got.getPartitionKey(), null);
        equal("properties", got.getProperties(), Map.of());
        Instant enqueued = got.getEnqueuedTime();
        that(enqueued.isAfter(began.minusSeconds(1)) && !enqueued.isAfter(Instant.now()), () -> "enqueued at " + enqueued);
    }

    @Case("send-batch")
    static void batch(Scene s) {
        List<String> bodies = numbered("event", 20);
        EventHubProducerClient producer = s.producer();
        producer.send(filled(producer.createBatch(), bodies));
        Reader reader = s.readerOfAll();
        List<EventData> events = reader.take(20);
        equal("partitions", new HashSet<>(reader.partitions()).size(), 1);
        equal("bodies", reader.bodies(), bodies);
        equal("sequence numbers", events.stream().map(EventData::getSequenceNumber).toList(), LongStream.range(0, 20).boxed().toList());
        List<Long> offsets = events.stream().map(EventData::getOffset).toList();
        equal("offsets", offsets, offsets.stream().sorted().distinct().toList());
        equal("enqueued times", events.stream().map(EventData::getEnqueuedTime).distinct().count(), 1L);
    }

    @Case("send-to-partition")
    static void toPartition(Scene s) {
        EventHubProducerClient producer = s.producer();
        for (String partition : s.partitions) {
            SendOptions there = new SendOptions().setPartitionId(partition);
            producer.send(events("single " + partition), there);
            producer.send(events("list " + partition, "list " + partition), there);
            EventDataBatch batch = producer.createBatch(new CreateBatchOptions().setPartitionId(partition));
            producer.send(filled(batch, List.of("batch " + partition)));
        }
        Reader reader = s.readerOfAll();
        reader.take(4 * s.partitions.size());
        for (String partition : s.partitions) {
            List<String> want = Stream.of("single", "list", "list", "batch").map(kind -> kind + " " + partition).toList();
            equal("partition " + partition, reader.of(partition), want);
        }
    }

    @Case("send-with-key")
    static void withKey(Scene s) {
        EventHubProducerClient producer = s.producer();
        for (String key : RECORDED_KEYS.keySet()) {
            producer.send(events(key), new SendOptions().setPartitionKey(key));
            producer.send(events(key, key), new SendOptions().setPartitionKey(key));
            producer.send(filled(producer.createBatch(new CreateBatchOptions().setPartitionKey(key)), List.of(key)));
        }
        Reader reader = s.readerOfAll();
        List<EventData> events = reader.take(4 * RECORDED_KEYS.size());
        equal("keys", events.stream().map(EventData::getPartitionKey).toList(), reader.bodies());
        equal("partitions", reader.partitions(), reader.bodies().stream().map(RECORDED_KEYS::get).toList());
        equal("keys seen", new HashSet<>(reader.bodies()), RECORDED_KEYS.keySet());
    }

    @Case("send-keyless-alternates")
    static void keylessAlternates(Scene s) {
        List<String> sent = numbered("event", 8);
        EventHubProducerClient producer = s.producer();
        for (String body : sent.subList(0, 4)) {
            producer.send(events(body));
        }
        for (String body : sent.subList(4, 8)) {
            producer.send(filled(producer.createBatch(), List.of(body)));
        }
        Reader reader = s.readerOfAll();
        reader.take(sent.size());
        List<List<String>> arrived = s.partitions.stream().map(reader::of).toList();
        List<List<String>> turns = List.of(everySecond(sent, 0), everySecond(sent, 1));
        equal("partitions", new HashSet<>(arrived), new HashSet<>(turns));
    }

    @Case("send-many-in-order")
    static void manyInOrder(Scene s) {
        List<String> bodies = numbered("event", 500);
        s.send(bodies);
        Reader reader = s.reader("0");
        List<EventData> events = reader.take(bodies.size());
        equal("bodies", reader.bodies(), bodies);
        equal("sequence numbers", events.stream().map(EventData::getSequenceNumber).toList(), LongStream.range(0, 500).boxed().toList());
    }

    @Case("send-two-producers")
    static void twoProducers(Scene s) {
        List<List<String>> sent = List.of(numbered("a", 150), numbered("b", 150));
        List<Reader> readers = Stream.of("$Default", "cg1").map(group -> s.readerOfAll(s.client().consumerGroup(group))).toList();
        Scene.all(sent.stream().map(bodies -> Scene.background(() -> {
            EventHubProducerClient producer = s.producer();
            for (int i = 0; i < bodies.size(); i++) {
                producer.send(events(bodies.get(i)), new SendOptions().setPartitionId(s.partitions.get(i % 2)));
            }
        })).toList()).join();
        for (Reader reader : readers) {
            reader.take(300);
            equal("events", sorted(reader.bodies()), sorted(sent.stream().flatMap(List::stream).toList()));
            for (List<String> bodies : sent) {
                for (int i = 0; i < 2; i++) {
                    List<String> arrived = reader.of(s.partitions.get(i)).stream().filter(bodies::contains).toList();
                    equal("a producer's events in partition " + i, arrived, everySecond(bodies, i));
                }
            }
        }
    }

    @Case("send-many-producers")
    static void manyProducers(Scene s) {
        List<String> names = numbered("producer", 32);
        Mono.when(names.stream().map(name -> {
            EventHubProducerAsyncClient producer = s.closing(s.client().buildAsyncProducerClient());
            return Flux.fromIterable(numbered(name, 10)).concatMap(body -> producer.send(events(body)));
        }).toList()).block(Duration.ofSeconds(SECONDS_MAX));
        Reader reader = s.readerOfAll();
        reader.take(320);
        equal("events", sorted(reader.bodies()), sorted(names.stream().flatMap(name -> numbered(name, 10).stream()).toList()));
    }

    // Flush does not say that all was sent: in the SDK it ends with the next batch of a partition that is acknowledged.
    @Case("send-buffered")
    static void buffered(Scene s) {
        Queue<String> succeeded = new ConcurrentLinkedQueue<>();
        Queue<Throwable> failed = new ConcurrentLinkedQueue<>();
        EventHubBufferedProducerClient producer = s.closing(s.buffered(s.connection)
            .maxWaitTime(Duration.ofSeconds(1))
            .onSendBatchSucceeded(sent -> sent.getEvents().forEach(event -> succeeded.add(event.getBodyAsString())))
            .onSendBatchFailed(sent -> failed.add(sent.getThrowable()))
            .buildClient());
        List<String> free = numbered("free", 200);
        List<String> keyed = numbered("keyed", 100);
        free.forEach(body -> producer.enqueueEvent(new EventData(body)));
        producer.flush();
        keyed.forEach(body -> producer.enqueueEvent(new EventData(body), new SendOptions().setPartitionKey("key")));
        Reader reader = s.readerOfAll();
        reader.take(300); // the keyed ones go when the wait is over
        eventually(() -> succeeded.size() >= 300, SECONDS_MAX, () -> "reported are " + succeeded.size());
        equal("errors", List.copyOf(failed), List.of());
        List<String> sent = sorted(Stream.concat(free.stream(), keyed.stream()).toList());
        equal("reported", sorted(List.copyOf(succeeded)), sent);
        equal("events", sorted(reader.bodies()), sent);
        Predicate<EventData> hasKey = event -> "key".equals(event.getPartitionKey());
        List<String> homes = s.partitions.stream().filter(partition -> reader.eventsOf(partition).stream().anyMatch(hasKey)).toList();
        equal("partitions of the key", homes.size(), 1);
        equal("keyed", Reader.bodies(reader.eventsOf(homes.get(0)).stream().filter(hasKey).toList()), keyed);
    }

    @Case("size-at-limit")
    static void sizeAtLimit(Scene s) {
        throw new NotApplicable("the SDK keeps 16 KiB of the limit for itself and refuses larger events");
    }

    @Case("size-above-limit")
    static void sizeAboveLimit(Scene s) {
        throw new NotApplicable("the SDK refuses such an event itself");
    }

    @Case("size-full-batch")
    static void sizeFullBatch(Scene s) {
        EventHubProducerClient producer = s.producer();
        EventDataBatch batch = producer.createBatch();
        equal("limit", batch.getMaxSizeInBytes(), MESSAGE_BYTES_MAX);
        EventData event;
        do {
            event = new EventData("x".repeat(2000));
            event.getProperties().put("number", batch.getCount());
        } while (batch.tryAdd(event));
        producer.send(batch);
        List<EventData> got = s.reader("0").take(batch.getCount());
        List<Object> numbers = got.stream().map(arrived -> arrived.getProperties().get("number")).toList();
        equal("numbers", numbers, IntStream.range(0, batch.getCount()).boxed().toList());
    }

    private static List<EventData> events(String... bodies) {
        return Stream.of(bodies).map(EventData::new).toList();
    }

    static EventDataBatch filled(EventDataBatch batch, List<String> bodies) {
        bodies.forEach(body -> that(batch.tryAdd(new EventData(body)), () -> "the batch is full"));
        return batch;
    }

    static List<String> numbered(String name, int count) {
        return IntStream.range(0, count).mapToObj(i -> name + " " + i).toList();
    }

    private static List<String> everySecond(List<String> bodies, int from) {
        return IntStream.range(0, bodies.size()).filter(i -> i % 2 == from).mapToObj(bodies::get).toList();
    }

    private static List<String> sorted(List<String> bodies) {
        List<String> sorted = new ArrayList<>(bodies);
        sorted.sort(null);
        return sorted;
    }
}
