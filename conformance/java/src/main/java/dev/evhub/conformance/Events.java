package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.that;

import com.azure.core.amqp.models.AmqpAddress;
import com.azure.core.amqp.models.AmqpAnnotatedMessage;
import com.azure.core.amqp.models.AmqpMessageId;
import com.azure.core.amqp.models.AmqpMessageProperties;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import dev.evhub.conformance.Case.NotApplicable;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import org.apache.qpid.proton.amqp.Binary;
import org.apache.qpid.proton.amqp.Decimal128;
import org.apache.qpid.proton.amqp.Decimal32;
import org.apache.qpid.proton.amqp.Decimal64;
import org.apache.qpid.proton.amqp.Symbol;
import org.apache.qpid.proton.amqp.UnsignedByte;
import org.apache.qpid.proton.amqp.UnsignedInteger;
import org.apache.qpid.proton.amqp.UnsignedLong;
import org.apache.qpid.proton.amqp.UnsignedShort;

/** Cases about what an event carries. */
final class Events {
    private static final OffsetDateTime MOMENT = OffsetDateTime.parse("2024-02-29T12:34:56.789Z");

    private Events() {}

    /** Values of every type that an application property may have, as the SDK is given them and gives them. */
    private static Map<String, Object> properties() {
        Map<String, Object> properties = new LinkedHashMap<>();
        properties.put("string", "text");
        properties.put("string, empty", "");
        properties.put("string, beyond ASCII", "ünïcödé 日本語 🚀");
        properties.put("string, long", "x".repeat(1000));
        properties.put("binary", new Binary(new byte[] {0, -1}));
        properties.put("true", true);
        properties.put("false", false);
        properties.put("byte", Byte.MIN_VALUE);
        properties.put("short", Short.MIN_VALUE);
        properties.put("int, zero", 0);
        properties.put("int, least", Integer.MIN_VALUE);
        properties.put("int, greatest", Integer.MAX_VALUE);
        properties.put("long, small", 7L);
        properties.put("long, least", Long.MIN_VALUE);
        properties.put("long, greatest", Long.MAX_VALUE);
        properties.put("ubyte", UnsignedByte.valueOf((byte) -1));
        properties.put("ushort", UnsignedShort.valueOf((short) -1));
        properties.put("uint, small", UnsignedInteger.valueOf(7));
        properties.put("uint, greatest", UnsignedInteger.MAX_VALUE);
        properties.put("ulong, zero", UnsignedLong.ZERO);
        properties.put("ulong, greatest", UnsignedLong.valueOf(BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE)));
        properties.put("float", 0.5f);
        properties.put("double", 3.25);
        properties.put("double, great", 1e308);
        properties.put("char", 'ü');
        properties.put("uuid", UUID.fromString("00112233-4455-6677-8899-aabbccddeeff"));
        properties.put("timestamp", Date.from(MOMENT.toInstant()));
        properties.put("timestamp before 1970", new Date(-1));
        properties.put("symbol", Symbol.valueOf("sym"));
        properties.put("decimal32", new Decimal32(0x32800019));
        properties.put("decimal64", new Decimal64(0x31a0000000000019L));
        properties.put("decimal128", new Decimal128(0xb03e000000000000L, 0x7dL));
        properties.put("null", null);
        return properties;
    }

    @Case("property-types")
    static void propertyTypes(Scene s) {
        EventData event = new EventData("");
        event.getProperties().putAll(properties());
        for (EventData got : roundTrip(s, List.of(event))) {
            properties().forEach((name, want) -> equal(name, got.getProperties().get(name), want));
            equal("names", got.getProperties().keySet(), properties().keySet());
        }
    }

    @Case("body-data")
    static void bodyData(Scene s) {
        byte[] everyByte = new byte[256];
        for (int i = 0; i < everyByte.length; i++) {
            everyByte[i] = (byte) i;
        }
        List<byte[]> bodies = List.of(everyByte, "ünïcödé 日本語 🚀".getBytes(StandardCharsets.UTF_8), new byte[0], new byte[255],
            new byte[1000]);
        List<ByteBuffer> want = bodies.stream().map(ByteBuffer::wrap).toList();
        List<ByteBuffer> got = roundTrip(s, bodies.stream().map(EventData::new).toList()).stream()
            .map(event -> ByteBuffer.wrap(event.getBody())).toList();
        equal("single", got.subList(0, want.size()), want);
        equal("batch", got.subList(want.size(), got.size()), want);
    }

    @Case("body-several-data")
    static void bodySeveralData(Scene s) {
        throw new NotApplicable("an EventData has one data section");
    }

    @Case("body-sequence")
    static void bodySequence(Scene s) {
        throw new NotApplicable("an EventData has one data section");
    }

    @Case("body-value")
    static void bodyValue(Scene s) {
        throw new NotApplicable("an EventData has one data section");
    }

    // There is no footer: the SDK writes its keys as strings and expects symbols when it reads.
    @Case("annotated-message")
    static void annotatedMessage(Scene s) {
        EventData event = new EventData("body");
        AmqpAnnotatedMessage message = event.getRawAmqpMessage();
        message.getHeader()
            .setDurable(true).setPriority((short) 10).setTimeToLive(Duration.ofMinutes(1)).setFirstAcquirer(true).setDeliveryCount(3L);
        message.getProperties()
            .setMessageId(new AmqpMessageId("id 1")).setUserId("user".getBytes()).setTo(new AmqpAddress("to")).setSubject("subject")
            .setReplyTo(new AmqpAddress("reply")).setCorrelationId(new AmqpMessageId("correlation")).setContentType("application/json")
            .setContentEncoding("utf-8").setAbsoluteExpiryTime(MOMENT).setCreationTime(MOMENT.minusNanos(1_000_000)).setGroupId("group")
            .setGroupSequence(7L).setReplyToGroupId("reply group");
        message.getApplicationProperties().putAll(Map.of("application", "property", "number", 1));
        message.getMessageAnnotations().putAll(Map.of("ann_key", "annotation", "ann_number", 2));
        message.getDeliveryAnnotations().put("delivery", "annotation");
        for (EventData got : roundTrip(s, List.of(event))) {
            AmqpAnnotatedMessage raw = got.getRawAmqpMessage();
            equal("properties", shown(raw.getProperties()), shown(message.getProperties()));
            equal("header", Arrays.asList(raw.getHeader().isDurable(), raw.getHeader().isFirstAcquirer()), Arrays.asList(null, null));
            equal("application properties", raw.getApplicationProperties(), Map.of("application", "property", "number", 1));
            Map<String, Object> own = new TreeMap<>(raw.getMessageAnnotations());
            own.keySet().removeIf(name -> name.startsWith("x-opt-"));
            equal("annotations", own, Map.of("ann_key", "annotation", "ann_number", 2));
            equal("body", got.getBodyAsString(), "body");
            equal("shown", List.of(got.getMessageId(), got.getContentType(), got.getCorrelationId()),
                List.of("id 1", "application/json", "correlation"));
        }
    }

    private static List<Object> shown(AmqpMessageProperties p) {
        return List.of(p.getMessageId().toString(), new String(p.getUserId()), p.getTo().toString(), p.getSubject(),
            p.getReplyTo().toString(), p.getCorrelationId().toString(), p.getContentType(), p.getContentEncoding(),
            p.getAbsoluteExpiryTime(), p.getCreationTime(), p.getGroupId(), p.getGroupSequence(), p.getReplyToGroupId());
    }

    /** Sends each event singly, then all of them in a batch, twice if there is but one; gives what arrived in this order. */
    private static List<EventData> roundTrip(Scene s, List<EventData> sent) {
        EventHubProducerClient producer = s.producer();
        CreateBatchOptions there = new CreateBatchOptions().setPartitionId("0");
        List<EventData> together = new ArrayList<>(sent);
        if (sent.size() == 1) {
            together.add(sent.get(0));
        }
        for (EventData event : sent) {
            producer.send(filled(producer.createBatch(there), List.of(event)));
        }
        producer.send(filled(producer.createBatch(there), together));
        return s.reader("0").take(sent.size() + together.size());
    }

    private static EventDataBatch filled(EventDataBatch batch, List<EventData> events) {
        events.forEach(event -> that(batch.tryAdd(event), () -> "the batch is full"));
        return batch;
    }
}
