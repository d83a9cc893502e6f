package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;
import static dev.evhub.conformance.Check.that;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import dev.evhub.conformance.Case.NotApplicable;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Cases about where a receiver starts. */
final class Positions {
    private static final List<String> SENT = List.of("first", "second", "third"); // starts are given by the second

    private Positions() {}

    // Only of a processor the position may be left to the SDK.
    @Case("position-default")
    static void byDefault(Scene s) {
        s.send(SENT);
        startsAtTheEnd(s, s.processor(s.processing(s.connection)));
    }

    @Case("position-latest")
    static void latest(Scene s) {
        s.send(SENT);
        startsAtTheEnd(s, s.reader("0", EventPosition.latest()));
    }

    private static void startsAtTheEnd(Scene s, Reader reader) {
        int first = s.probe(reader);
        s.send(List.of("last"));
        reader.until(() -> reader.bodies().contains("last"), "last event");
        List<String> want = new ArrayList<>();
        for (int i = 1; i < reader.bodies().size(); i++) {
            want.add("probe " + (first + i - 1));
        }
        want.add("last");
        equal("bodies", reader.bodies(), want);
    }

    @Case("position-earliest")
    static void earliest(Scene s) {
        starts(s, second -> EventPosition.earliest(), SENT);
    }

    @Case("position-earliest-inclusive")
    static void earliestInclusive(Scene s) {
        throw onlyNumbersAreInclusive();
    }

    @Case("position-latest-inclusive")
    static void latestInclusive(Scene s) {
        throw onlyNumbersAreInclusive();
    }

    @Case("position-offset")
    static void offset(Scene s) {
        starts(s, second -> EventPosition.fromOffset(second.getOffset()), SENT.subList(2, 3));
    }

    @Case("position-offset-inclusive")
    static void offsetInclusive(Scene s) {
        throw onlyNumbersAreInclusive();
    }

    @Case("position-sequence")
    static void sequence(Scene s) {
        starts(s, second -> EventPosition.fromSequenceNumber(second.getSequenceNumber()), SENT.subList(2, 3));
    }

    @Case("position-sequence-inclusive")
    static void sequenceInclusive(Scene s) {
        starts(s, second -> EventPosition.fromSequenceNumber(second.getSequenceNumber(), true), SENT.subList(1, 3));
    }

    @Case("position-time")
    static void time(Scene s) {
        starts(s, second -> EventPosition.fromEnqueuedTime(second.getEnqueuedTime()), SENT.subList(2, 3));
    }

    @Case("position-time-inclusive")
    static void timeInclusive(Scene s) {
        throw onlyNumbersAreInclusive();
    }

    private static NotApplicable onlyNumbersAreInclusive() {
        return new NotApplicable("of the SDK's positions only a sequence number can be inclusive");
    }

    /** Starts a reader where position(second event) says, and sees that it gets what is wanted and then what is sent later. */
    private static void starts(Scene s, Function<EventData, EventPosition> position, List<String> want) {
        s.sendApart(SENT);
        List<EventData> events = s.reader("0").take(SENT.size());
        List<Instant> times = events.stream().map(EventData::getEnqueuedTime).toList();
        that(times.get(0).isBefore(times.get(1)) && times.get(1).isBefore(times.get(2)), () -> "the events were stored at " + times);
        Reader reader = s.reader("0", position.apply(events.get(1)));
        reader.take(want.size());
        s.send(List.of("later"));
        reader.until(() -> reader.bodies().contains("later"), "later event");
        List<String> all = new ArrayList<>(want);
        all.add("later");
        equal("bodies", reader.bodies(), all);
    }

    @Case("position-per-partition")
    static void perPartition(Scene s) {
        s.partitions.forEach(partition -> s.send(SENT, partition));
        Map<String, EventPosition> positions = Map.of("0", EventPosition.fromSequenceNumber(1, true), "1", EventPosition.earliest());
        Reader reader = s.processor(s.processing(s.connection).initialPartitionEventPosition(positions));
        reader.take(5);
        equal("partition 0", reader.of("0"), SENT.subList(1, 3));
        equal("partition 1", reader.of("1"), SENT);
    }

    @Case("position-beyond-end")
    static void beyondEnd(Scene s) {
        s.send(SENT);
        for (EventPosition position : List.of(EventPosition.fromOffset(1_000_000), EventPosition.fromSequenceNumber(1_000_000))) {
            Reader reader = s.reader(s.client().retryOptions(Scene.ONCE), "0", position, new ReceiveOptions());
            s.isAnswer(reader.error());
            equal("bodies", reader.bodies(), List.of());
        }
    }
}
