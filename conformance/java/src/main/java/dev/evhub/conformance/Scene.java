package dev.evhub.conformance;

import static dev.evhub.conformance.Check.SECONDS_MAX;
import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.eventually;
import static dev.evhub.conformance.Check.that;

import com.azure.core.amqp.AmqpRetryOptions;
import com.azure.core.amqp.exception.AmqpErrorCondition;
import com.azure.core.amqp.exception.AmqpException;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventHubBufferedProducerClientBuilder;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.LoadBalancingStrategy;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What a case stands on: a hub of its own, and clients for it, which it closes at its end. */
final class Scene implements AutoCloseable {
    static final AmqpRetryOptions ONCE = new AmqpRetryOptions().setMaxRetries(0);

    private static final int CLOSE_SECONDS_MAX = 3;

    /** For whatever blocks beside the case. */
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });

    final String id;
    final String hub;
    final List<String> partitions;
    final Map<String, String> credentials;
    final Plan.Answer answer;
    final int idleTimeoutSeconds; // as the broker tells it; it waits twice as long
    String connection; // to the namespace of the case's hub

    private final List<String> groups;
    private final String admin;
    private final String proxy;
    private final Queue<AutoCloseable> open = new ConcurrentLinkedQueue<>();
    private EventHubProducerClient lasting; // the producer of send

    Scene(Plan plan, Plan.Entry entry) {
        id = entry.id();
        hub = entry.hub();
        partitions = entry.partitions();
        groups = entry.groups();
        credentials = entry.credentials();
        answer = entry.answer();
        connection = plan.connectionString();
        idleTimeoutSeconds = plan.idleTimeoutSeconds();
        admin = plan.admin();
        proxy = plan.proxy();
    }

    /** The beginning of a client. */
    EventHubClientBuilder client() {
        return client(connection, hub);
    }

    EventHubClientBuilder client(String connection, String hub) {
        return new EventHubClientBuilder().connectionString(connection, hub).consumerGroup("$Default");
    }

    EventHubProducerClient producer() {
        return producer(client());
    }

    EventHubProducerClient producer(EventHubClientBuilder client) {
        return closing(client.buildProducerClient());
    }

    EventHubBufferedProducerClientBuilder buffered(String connection) {
        return new EventHubBufferedProducerClientBuilder().connectionString(connection, hub);
    }

    /** A reader of one partition from its first event. */
    Reader reader(String partition) {
        return reader(partition, EventPosition.earliest());
    }

    Reader reader(String partition, EventPosition position) {
        return reader(client(), partition, position, new ReceiveOptions());
    }

    /** A reader with a client of its own. */
    Reader reader(EventHubClientBuilder client, String partition, EventPosition position, ReceiveOptions options) {
        EventHubConsumerAsyncClient consumer = client.buildAsyncConsumerClient();
        return closing(Reader.of(consumer, consumer.receiveFromPartition(partition, position, options)));
    }

    /** A reader of all partitions from their first events. */
    Reader readerOfAll() {
        return readerOfAll(client());
    }

    Reader readerOfAll(EventHubClientBuilder client) {
        EventHubConsumerAsyncClient consumer = client.buildAsyncConsumerClient();
        return closing(Reader.of(consumer, consumer.receive(true)));
    }

    /** The beginning of a processor, which reads all partitions with owner level 0. It takes up soon what it lost. */
    EventProcessorClientBuilder processing(String connection) {
        return new EventProcessorClientBuilder()
            .connectionString(connection, hub)
            .consumerGroup("$Default")
            .checkpointStore(new Checkpoints())
            .loadBalancingStrategy(LoadBalancingStrategy.GREEDY)
            .loadBalancingUpdateInterval(Duration.ofMillis(500))
            .partitionOwnershipExpirationInterval(Duration.ofSeconds(2));
    }

    Reader processor(EventProcessorClientBuilder processing) {
        return closing(Reader.of(processing));
    }

    /** A way to the broker that the case can break. */
    ProxyPath path() {
        return ProxyPath.open(proxy, connection);
    }

    /** Makes the case's hub in a space of its own, where all that the case does takes place from now on. */
    void inSpace(Consumer<Space> act) {
        Space space = Space.open(admin, hub, partitions.size(), groups);
        connection = space.connection;
        boolean verify = false;
        try {
            act.accept(space);
            close();
            verify = true;
        } finally {
            space.delete(verify);
        }
    }

    <T extends AutoCloseable> T closing(T client) {
        open.add(client);
        return client;
    }

    /** Closes all clients, but waits no longer than a moment: some take ten seconds for it. */
    @Override
    public void close() {
        all(Stream.generate(open::poll).takeWhile(Objects::nonNull).map(client -> background(() -> {
            try {
                client.close();
            } catch (Exception e) {
                throw new IllegalStateException("closing " + client, e);
            }
        })).toList()).completeOnTimeout(null, CLOSE_SECONDS_MAX, TimeUnit.SECONDS).join();
    }

    static CompletableFuture<Void> background(Runnable work) {
        return CompletableFuture.runAsync(work, THREADS);
    }

    static CompletableFuture<Void> all(List<CompletableFuture<Void>> work) {
        return CompletableFuture.allOf(work.toArray(CompletableFuture[]::new));
    }

    /** Sends events one by one. */
    void send(List<String> bodies, String partition) {
        if (lasting == null) {
            lasting = producer();
        }
        for (String body : bodies) {
            lasting.send(List.of(new EventData(body)), new SendOptions().setPartitionId(partition));
        }
    }

    void send(List<String> bodies) {
        send(bodies, "0");
    }

    /** Sends events one by one, no two in the same millisecond. */
    void sendApart(List<String> bodies) {
        for (String body : bodies) {
            send(List.of(body));
            long sent = System.currentTimeMillis();
            while (System.currentTimeMillis() <= sent) {
                Thread.onSpinWait();
            }
        }
    }

    /** Sends probe 0, 1, 2 .. until the reader gets one, since no SDK tells when a receiver at the end is attached. Gives its number. */
    int probe(Reader reader) {
        int[] sent = {0};
        eventually(() -> {
            equal("errors", reader.errors(), List.of());
            if (reader.bodies().isEmpty()) {
                send(List.of("probe " + sent[0]++));
            }
            return !reader.bodies().isEmpty();
        }, SECONDS_MAX, () -> "none of " + sent[0] + " probes arrived");
        String first = reader.bodies().get(0);
        that(first.startsWith("probe "), () -> "the first event is " + first);
        return Integer.parseInt(first.substring("probe ".length()));
    }

    /** Sees that an action fails with the case's answer. */
    void refused(Runnable action) {
        isAnswer(Check.failure(action));
    }

    /**
     * Compares an error with the case's answer. Of an answer to a request the SDK shows status and text, not the condition: it makes an
     * IllegalArgumentException of status 400, and missing rights of 401.
     */
    void isAnswer(Throwable error) {
        String text = String.valueOf(error.getMessage());
        that(Pattern.compile(answer.text()).matcher(text).find(), () -> "the error is " + error);
        if (error instanceof IllegalArgumentException) {
            that(text.startsWith("status-code: 400,"), () -> "the text is " + text);
            return;
        }
        that(error instanceof AmqpException, () -> "it is no AmqpException but " + error);
        AmqpException refusal = (AmqpException) error;
        boolean token = answer.status() == 401;
        that(!token || text.startsWith("status-code: 401,"), () -> "the text is " + text);
        String condition = token ? "amqp:unauthorized-access" : answer.condition();
        equal("condition", refusal.getErrorCondition(), AmqpErrorCondition.fromString(condition));
        equal("transient", refusal.isTransient(), false);
    }
}
