package dev.evhub.conformance;

import static dev.evhub.conformance.Check.SECONDS_MAX;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventProcessorClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.models.EventContext;
import com.azure.messaging.eventhubs.models.LastEnqueuedEventProperties;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.reactivestreams.Subscription;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Flux;

/** What a consumer or processor of the SDK receives in the background, and all that came of it so far. */
final class Reader implements AutoCloseable {
    private record Arrival(String partition, EventData event) {}

    private final List<Arrival> arrivals = new ArrayList<>();
    private final List<Throwable> errors = new ArrayList<>();
    private LastEnqueuedEventProperties last; // as of the last event
    private boolean ended; // there is nothing more to come
    private boolean held; // what is there is not taken
    private Runnable more = () -> {}; // asks a consumer for the next event
    private Runnable stop = () -> {};

    private Reader() {}

    /** Reads what a consumer client streams, and closes the client in the end. */
    static Reader of(EventHubConsumerAsyncClient client, Flux<PartitionEvent> events) {
        Reader reader = new Reader();
        Subscriber subscriber = reader.new Subscriber();
        reader.stop = () -> {
            subscriber.cancel();
            client.close();
        };
        events.subscribe(subscriber);
        return reader;
    }

    /** Starts a processor, which sets a checkpoint after each event. */
    static Reader of(EventProcessorClientBuilder processing) {
        Reader reader = new Reader();
        EventProcessorClient processor = processing
            .processEvent(reader::process)
            .processError(context -> reader.failed(context.getThrowable()))
            .buildEventProcessorClient();
        reader.stop = processor::stop;
        processor.start();
        return reader;
    }

    private final class Subscriber extends BaseSubscriber<PartitionEvent> {
        @Override
        protected void hookOnSubscribe(Subscription subscription) {
            more = () -> request(1);
            more.run();
        }

        @Override
        protected void hookOnNext(PartitionEvent arrived) {
            if (arrived(arrived.getPartitionContext().getPartitionId(), arrived.getData(), arrived.getLastEnqueuedEventProperties())) {
                more.run();
            }
        }

        @Override
        protected void hookOnError(Throwable error) {
            failed(error);
            ended();
        }

        @Override
        protected void hookOnComplete() {
            ended();
        }
    }

    private void process(EventContext context) {
        arrived(context.getPartitionContext().getPartitionId(), context.getEventData(), context.getLastEnqueuedEventProperties());
        synchronized (this) {
            while (held) {
                await(Long.MAX_VALUE);
            }
        }
        context.updateCheckpoint();
    }

    /** Tells whether the next event is wanted. */
    private synchronized boolean arrived(String partition, EventData event, LastEnqueuedEventProperties last) {
        arrivals.add(new Arrival(partition, event));
        this.last = last;
        notifyAll();
        return !held;
    }

    private synchronized void failed(Throwable error) {
        errors.add(error);
        notifyAll();
    }

    private synchronized void ended() {
        ended = true;
        notifyAll();
    }

    synchronized List<EventData> events() {
        return arrivals.stream().map(Arrival::event).toList();
    }

    List<String> bodies() {
        return bodies(events());
    }

    static List<String> bodies(List<EventData> events) {
        return events.stream().map(EventData::getBodyAsString).toList();
    }

    synchronized List<String> partitions() {
        return arrivals.stream().map(Arrival::partition).toList();
    }

    synchronized List<EventData> eventsOf(String partition) {
        return arrivals.stream().filter(arrival -> arrival.partition.equals(partition)).map(Arrival::event).toList();
    }

    List<String> of(String partition) {
        return bodies(eventsOf(partition));
    }

    synchronized LastEnqueuedEventProperties last() {
        return last;
    }

    synchronized List<Throwable> errors() {
        return List.copyOf(errors);
    }

    /** From now on a consumer is asked for no event, and no call to a processor's handler returns, until letGo. */
    synchronized void hold() {
        held = true;
    }

    void letGo() {
        synchronized (this) {
            if (!held) {
                return;
            }
            held = false;
            notifyAll();
        }
        more.run();
    }

    /** The first events, when there are so many. */
    List<EventData> take(int count) {
        until(() -> arrivals.size() >= count, count + " events");
        return events().subList(0, count);
    }

    /** Waits for a condition. An error of the SDK ends the wait, unless the condition is met by then. */
    synchronized void until(BooleanSupplier done, String what) {
        inSpiteOfErrors(() -> done.getAsBoolean() || !errors.isEmpty(), what);
        if (!done.getAsBoolean()) {
            throw new AssertionError("waiting for " + what + ", the SDK reported an error", errors.get(0));
        }
    }

    /** Waits for a condition, errors or not. */
    synchronized void inSpiteOfErrors(BooleanSupplier done, String what) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS_MAX);
        while (!done.getAsBoolean()) {
            long millis = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
            if (ended || millis <= 0) {
                List<String> first = bodies().stream().limit(20).toList();
                throw new AssertionError("no " + what + (ended ? ": the stream ended" : " in " + SECONDS_MAX + " s") + "; errors: " + errors
                    + "; " + arrivals.size() + " events: " + first);
            }
            await(millis);
        }
    }

    /** The first error. */
    Throwable error() {
        inSpiteOfErrors(() -> !errors.isEmpty(), "error");
        return errors().get(0);
    }

    private void await(long millis) {
        try {
            wait(millis);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits for the end of the stream, when the client was closed. */
    void end() {
        until(() -> ended, "end of the stream");
    }

    @Override
    public void close() {
        letGo();
        stop.run();
    }
}
