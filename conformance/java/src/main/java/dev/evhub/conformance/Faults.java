package dev.evhub.conformance;

import static dev.evhub.conformance.Check.SECONDS_MAX;
import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.eventually;
import static dev.evhub.conformance.Check.failure;
import static dev.evhub.conformance.Check.that;

import com.azure.core.amqp.AmqpRetryMode;
import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.core.amqp.exception.AmqpErrorCondition;
import com.azure.core.amqp.exception.AmqpException;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.EventPosition;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;

/** Cases about the faults of the test kit: what each does to the SDK. The first event always goes well, so that links are up. */
final class Faults {
    /** Of a client that comes back soon. To each delay between two tries of a call the SDK adds four seconds. */
    private static final AmqpRetryOptions QUICK =
        new AmqpRetryOptions().setMode(AmqpRetryMode.FIXED).setMaxRetries(10).setDelay(Duration.ofMillis(200));

    private static final Map<String, Object> SECOND_SEND = Map.of("op", "send", "after", 1);
    private static final Map<String, Object> SECOND_DELIVERY = Map.of("op", "deliver", "after", 1);
    private static final Map<String, Object> ALL_SENDS_BUT_ONE = Map.of("op", "send", "after", 1, "times", -1);

    private Faults() {}

    @Case("fault-throttle")
    static void throttle(Scene s) {
        s.inSpace(space -> {
            space.fault(SECOND_SEND, Map.of("type", "throttle"));
            send(s.producer(s.client().retryOptions(QUICK)), "before", "event");
            equal("stored", space.stored(), List.of("before", "event"));
        });
    }

    @Case("fault-reject")
    static void reject(Scene s) {
        s.inSpace(space -> {
            Map<String, Object> deed = Map.of("type", "reject", "condition", s.answer.condition(), "text", "The store is full.");
            Space.Fault fault = space.fault(ALL_SENDS_BUT_ONE, deed);
            EventHubProducerClient producer = s.producer(s.client().retryOptions(QUICK));
            send(producer, "before");
            s.refused(() -> send(producer, "refused"));
            equal("hits", fault.remove(), 1);
            send(producer, "after");
            equal("stored", space.stored(), List.of("before", "after"));
        });
    }

    @Case("fault-detach")
    static void detach(Scene s) {
        recovers(s, Map.of("type", "detach", "condition", "amqp:link:detach-forced", "text", "The link is going away."));
    }

    @Case("fault-close-connection")
    static void closeConnection(Scene s) {
        recovers(s, Map.of("type", "close-connection"));
    }

    @Case("fault-drop")
    static void drop(Scene s) {
        recovers(s, Map.of("type", "drop"));
    }

    /** The fault meets a processor and then a producer, who go on by themselves. */
    private static void recovers(Scene s, Map<String, Object> deed) {
        s.inSpace(space -> {
            space.fault(SECOND_SEND, deed);
            EventHubProducerClient producer = s.producer(s.client().retryOptions(QUICK));
            Reader reader = interrupted(s, space, producer, deed);
            send(producer, "third");
            goesOn(space, reader);
        });
    }

    /** A send that the SDK is told its token had expired for fails, and it does not try again; with the next one it is back. */
    @Case("fault-expire-token")
    static void expireToken(Scene s) {
        s.inSpace(space -> {
            Map<String, Object> deed = Map.of("type", "expire-token");
            space.fault(SECOND_SEND, deed);
            EventHubProducerClient producer = s.producer(s.client().retryOptions(QUICK));
            Reader reader = interrupted(s, space, producer, deed);
            s.refused(() -> send(producer, "third"));
            sendOnNewLink(producer, "third");
            goesOn(space, reader);
            s.isAnswer(reader.error());
        });
    }

    /** A processor whom the fault met at its second event. */
    private static Reader interrupted(Scene s, Space space, EventHubProducerClient producer, Map<String, Object> deed) {
        Space.Fault fault = space.fault(SECOND_DELIVERY, deed);
        Reader reader = s.processor(s.processing(s.connection).retryOptions(QUICK)
            .initialPartitionEventPosition(partition -> EventPosition.earliest()));
        send(producer, "first");
        reader.take(1);
        space.publish("second");
        fault.fired();
        return reader;
    }

    private static void goesOn(Space space, Reader reader) {
        reader.inSpiteOfErrors(() -> reader.bodies().size() >= 3, "events");
        equal("received", reader.bodies(), List.of("first", "second", "third"));
        equal("stored", space.stored(), List.of("first", "second", "third"));
    }

    @Case("fault-ack-lost")
    static void ackLost(Scene s) {
        s.inSpace(space -> {
            space.fault(SECOND_SEND, Map.of("type", "ack-lost"));
            send(s.producer(s.client().retryOptions(QUICK)), "before", "event");
            equal("stored", space.stored(), List.of("before", "event", "event"));
        });
    }

    @Case("fault-blackhole")
    static void blackhole(Scene s) {
        s.inSpace(space -> {
            Duration timeout = Duration.ofSeconds(5);
            Space.Fault fault = space.fault(ALL_SENDS_BUT_ONE, Map.of("type", "blackhole"));
            AmqpRetryOptions once = new AmqpRetryOptions().setMaxRetries(0).setTryTimeout(timeout);
            EventHubProducerClient producer = s.producer(s.client().retryOptions(once));
            send(producer, "before");
            long began = System.nanoTime();
            Throwable cause = failure(() -> send(producer, "lost")).getCause();
            // The link has a timer and the call another; they race.
            boolean ofLink = cause instanceof AmqpException late && late.getErrorCondition() == AmqpErrorCondition.TIMEOUT_ERROR;
            that(ofLink || cause instanceof TimeoutException, () -> "the error's cause is " + cause);
            lasted(began, timeout);
            equal("hits", fault.remove(), 1);
            send(producer, "after");
            equal("stored", space.stored(), List.of("before", "after"));
        });
    }

    @Case("fault-delay")
    static void delay(Scene s) {
        s.inSpace(space -> {
            Map<String, Object> deed = Map.of("type", "delay", "duration", "1s");
            space.fault(SECOND_SEND, deed);
            space.fault(SECOND_DELIVERY, deed);
            EventHubProducerClient producer = s.producer();
            Reader reader = s.reader("0");
            send(producer, "before");
            reader.take(1);
            long began = System.nanoTime();
            send(producer, "event");
            lasted(began, Duration.ofSeconds(1));
            reader.take(2);
            lasted(began, Duration.ofSeconds(2));
            equal("received", reader.bodies(), List.of("before", "event"));
            equal("stored", space.stored(), List.of("before", "event"));
        });
    }

    private static void lasted(long began, Duration least) {
        Duration took = Duration.ofNanos(System.nanoTime() - began);
        that(took.compareTo(least) >= 0, () -> "it took " + took + ", less than " + least);
    }

    @Case("fault-steal-epoch")
    static void stealEpoch(Scene s) {
        s.inSpace(space -> {
            space.fault(SECOND_DELIVERY, Map.of("type", "steal-epoch", "level", 9));
            Reader reader = Exclusive.readerOfLevel(s, 1L);
            space.publish("before");
            reader.take(1);
            space.publish("after");
            s.isAnswer(reader.error());
            equal("received", reader.bodies(), List.of("before"));
            Exclusive.readerOfLevel(s, 1L).take(2);
        });
    }

    @Case("fault-redeliver")
    static void redeliver(Scene s) {
        s.inSpace(space -> {
            space.fault(Map.of("op", "deliver", "after", 2), Map.of("type", "redeliver", "back", 2));
            space.publish("a", "b", "c");
            Reader reader = s.reader("0");
            List<EventData> events = reader.take(5);
            equal("received", reader.bodies(), List.of("a", "b", "a", "b", "c"));
            equal("sequence numbers", events.stream().map(EventData::getSequenceNumber).toList(), List.of(0L, 1L, 0L, 1L, 2L));
        });
    }

    /**
     * Sends after a send failed with its link. The SDK fails the send first and forgets the link then (ReactorSender.handleError of
     * azure-core-amqp 2.11.3): who sends in between is told that the link is disposed of, and that nothing was sent.
     */
    private static void sendOnNewLink(EventHubProducerClient producer, String body) {
        eventually(() -> {
            try {
                send(producer, body);
                return true;
            } catch (IllegalStateException error) {
                that(String.valueOf(error.getMessage()).endsWith("when disposed."), () -> "the error is " + error);
                return false;
            }
        }, SECONDS_MAX, () -> "the SDK does not forget its link");
    }

    private static void send(EventHubProducerClient producer, String... bodies) {
        for (String body : bodies) {
            producer.send(List.of(new EventData(body)));
        }
    }
}
