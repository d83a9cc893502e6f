package dev.evhub.conformance;

import static dev.evhub.conformance.Check.SECONDS_MAX;
import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.eventually;
import static dev.evhub.conformance.Check.pause;
import static dev.evhub.conformance.Check.that;

import com.azure.core.amqp.AmqpRetryMode;
import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubBufferedProducerClient;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.LongStream;
import reactor.core.publisher.Flux;
import reactor.util.retry.Retry;

/** Cases about readers that stop, and about connections that break or fall silent. */
final class Trouble {
    /** Of a client that comes back soon. To each delay between two tries of a call the SDK adds four seconds. */
    private static final AmqpRetryOptions QUICK =
        new AmqpRetryOptions().setMode(AmqpRetryMode.FIXED).setMaxRetries(100).setDelay(Duration.ofMillis(200));

    private Trouble() {}

    @Case("receive-stopped-readers")
    static void stoppedReaders(Scene s) {
        ProxyPath path = s.path();
        Reader busy = s.processor(s.processing(s.connection).consumerGroup("cg1")
            .initialPartitionEventPosition(partition -> EventPosition.earliest()));
        Reader idle = s.reader("0");
        Reader deaf = s.reader(s.client(path.connection, s.hub), "0", EventPosition.earliest(), new ReceiveOptions());
        Reader free = s.reader("0");
        s.send(List.of("first"));
        for (Reader reader : List.of(busy, idle, deaf, free)) {
            reader.take(1);
        }
        busy.hold();
        idle.hold();
        path.stall("broker");
        sendLarge(s.producer(), 300);
        free.take(301);
        for (Reader stopped : List.of(busy, idle, deaf)) {
            that(stopped.events().size() < 301, () -> "a stopped reader did not stop");
        }
        busy.letGo();
        idle.letGo();
        path.resume();
        for (Reader reader : List.of(busy, idle, deaf)) {
            reader.take(301);
            isGapless(reader, "0");
            that(reader.bodies().equals(free.bodies()), () -> "the bodies differ");
        }
    }

    private static void sendLarge(EventHubProducerClient producer, int count) {
        for (int sent = 0; sent < count; ) {
            EventDataBatch batch = producer.createBatch(new CreateBatchOptions().setPartitionId("0"));
            while (sent < count && batch.getCount() < 15) {
                batch.tryAdd(new EventData(String.valueOf((char) ('a' + sent++ % 26)).repeat(60_000)));
            }
            producer.send(batch);
        }
    }

    @Case("recover-outage")
    static void outage(Scene s) {
        ProxyPath path = s.path();
        Reader exclusive = s.processor(s.processing(path.connection).retryOptions(QUICK)
            .initialPartitionEventPosition(partition -> EventPosition.earliest()));
        Reader shared = persistent(s, s.client(path.connection, s.hub).consumerGroup("cg1"), "0");
        Sender single = single(s, path.connection);
        Sender buffered = buffered(s, path.connection);
        exclusive.until(() -> s.partitions.stream().allMatch(partition -> exclusive.of(partition).size() >= 5), "events before the outage");
        shared.take(5);
        int before = path.ends().size();

        path.cut();
        pause(2000); // so long it lasts
        path.mend();

        arrived(exclusive, "0", single.stopAfter(20));
        arrived(shared, "0", single.acknowledged());
        arrived(exclusive, "1", buffered.stopAfter(5));
        List<String> ends = path.ends().subList(0, before); // one may have had its end before: a processor asks for the hub's properties on it
        that(ends.contains("cut") && !ends.contains(""), () -> "connections ended by " + ends);
        List<EventData> events = exclusive.eventsOf("0");
        long last = s.producer(s.client(path.connection, s.hub)).getPartitionProperties("0").getLastEnqueuedSequenceNumber();
        equal("last number", events.get(events.size() - 1).getSequenceNumber(), last);
    }

    /** Sees that all that was acknowledged arrived. An event whose answer was lost may have been sent again. */
    private static void arrived(Reader reader, String partition, List<String> acknowledged) {
        String last = acknowledged.get(acknowledged.size() - 1);
        reader.inSpiteOfErrors(() -> reader.of(partition).contains(last), "last event");
        isGapless(reader, partition);
        equal("first arrivals", reader.of(partition).stream().distinct().toList(), acknowledged);
    }

    private static void isGapless(Reader reader, String partition) {
        List<Long> numbers = reader.eventsOf(partition).stream().map(EventData::getSequenceNumber).toList();
        equal("sequence numbers", numbers, LongStream.range(0, numbers.size()).boxed().toList());
    }

    @Case("recover-idle")
    static void idle(Scene s) {
        Idler beating = new Idler(s, "0");
        Idler silent = new Idler(s, "1");
        List<String> opened = beating.path.ends();
        int stalled = silent.path.ends().size(); // others may follow
        silent.path.stall("client");
        // The beating connections carried their last event before the others fell silent, so they pass the time-out sooner.
        silent.path.until(ends -> ends.subList(0, stalled).stream().allMatch("broker"::equals), "end of the silent connections",
            2 * s.idleTimeoutSeconds + 5);
        equal("the beating connections", beating.path.ends(), opened);
        for (Idler idler : List.of(beating, silent)) {
            idler.producer.send(List.of(new EventData("after")), new SendOptions().setPartitionId(idler.partition));
            idler.reader.inSpiteOfErrors(() -> idler.reader.bodies().size() >= 2, "event after");
            equal("bodies", idler.reader.bodies(), List.of("before", "after"));
        }
        equal("the beating connections", beating.path.ends(), opened);
    }

    /** A producer and a reader on a path of their own, with nothing more to do. */
    private static final class Idler {
        final String partition;
        final ProxyPath path;
        final EventHubProducerClient producer;
        final Reader reader;

        Idler(Scene s, String partition) {
            this.partition = partition;
            path = s.path();
            producer = s.producer(s.client(path.connection, s.hub).retryOptions(QUICK));
            reader = persistent(s, s.client(path.connection, s.hub), partition);
            producer.send(List.of(new EventData("before")), new SendOptions().setPartitionId(partition));
            reader.take(1);
        }
    }

    /** A reader that asks again for what comes next when its stream has ended, as the SDK leaves to the application. */
    private static Reader persistent(Scene s, EventHubClientBuilder client, String partition) {
        EventHubConsumerAsyncClient consumer = client.retryOptions(QUICK).buildAsyncConsumerClient();
        AtomicReference<EventPosition> next = new AtomicReference<>(EventPosition.earliest());
        return s.closing(Reader.of(consumer, Flux.defer(() -> consumer.receiveFromPartition(partition, next.get()))
            .doOnNext(event -> next.set(EventPosition.fromSequenceNumber(event.getData().getSequenceNumber())))
            .retryWhen(Retry.fixedDelay(Long.MAX_VALUE, Duration.ofMillis(200)))
            .repeatWhen(ends -> ends.delayElements(Duration.ofMillis(200)))));
    }

    /** Sends one event after the other to partition 0. */
    private static Sender single(Scene s, String connection) {
        EventHubProducerClient producer = s.producer(s.client(connection, s.hub).retryOptions(QUICK));
        Queue<String> acknowledged = new ConcurrentLinkedQueue<>();
        return s.closing(new Sender("single", acknowledged, body -> {
            producer.send(List.of(new EventData(body)), new SendOptions().setPartitionId("0"));
            acknowledged.add(body);
        }));
    }

    /**
     * Leaves event after event to a buffered producer, for partition 1. Each comes soon after the last batch was acknowledged and the next
     * one made, which asking for the count waits for: if an event comes while the SDK makes a batch, which takes its time in an outage, it
     * interrupts itself, sends the last batch once more, and the second time fails for good.
     */
    private static Sender buffered(Scene s, String connection) {
        Queue<String> acknowledged = new ConcurrentLinkedQueue<>();
        Queue<Throwable> failed = new ConcurrentLinkedQueue<>();
        EventHubBufferedProducerClient producer = s.closing(s.buffered(connection)
            .retryOptions(QUICK)
            .maxWaitTime(Duration.ofMillis(200))
            .onSendBatchSucceeded(sent -> sent.getEvents().forEach(event -> acknowledged.add(event.getBodyAsString())))
            .onSendBatchFailed(sent -> failed.add(sent.getThrowable()))
            .buildClient());
        return s.closing(new Sender("buffered", acknowledged, body -> {
            producer.enqueueEvent(new EventData(body), new SendOptions().setPartitionId("1"));
            eventually(() -> acknowledged.contains(body) || !failed.isEmpty(), SECONDS_MAX, () -> body + " is not acknowledged");
            equal("failed", List.copyOf(failed), List.of());
            producer.getBufferedEventCount();
        }));
    }

    /** Goes on sending until it is stopped. */
    private static final class Sender implements AutoCloseable {
        private static final int PAUSE_MILLIS = 5;

        private final Queue<String> acknowledged;
        private final CompletableFuture<Void> running;
        private volatile boolean stop;
        private volatile int sent;

        Sender(String name, Queue<String> acknowledged, Consumer<String> send) {
            this.acknowledged = acknowledged;
            running = Scene.background(() -> {
                for (; !stop; pause(PAUSE_MILLIS)) {
                    send.accept(name + " " + sent);
                    sent++;
                }
            });
        }

        /** Stops when so many more were acknowledged, and waits until all are. */
        List<String> stopAfter(int more) {
            int enough = acknowledged().size() + more;
            reached(enough);
            stop = true;
            running.join();
            reached(sent);
            return acknowledged();
        }

        private void reached(int count) {
            eventually(() -> acknowledged().size() >= count || running.isCompletedExceptionally(), SECONDS_MAX,
                () -> acknowledged().size() + " of " + sent + " events were acknowledged");
        }

        /** A buffered producer may send a batch twice while it recovers. */
        List<String> acknowledged() {
            return acknowledged.stream().distinct().toList();
        }

        @Override
        public void close() {
            stop = true;
        }
    }
}
