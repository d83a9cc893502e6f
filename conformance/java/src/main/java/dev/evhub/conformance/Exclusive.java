package dev.evhub.conformance;

import static dev.evhub.conformance.Check.equal;

import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import java.util.List;
import java.util.stream.Stream;

/** Cases about exclusive readers, which have an owner level. */
final class Exclusive {
    private Exclusive() {}

    @Case("exclusive-evicts-shared")
    static void evictsShared(Scene s) {
        s.send(List.of("before"));
        List<Reader> shared = Stream.generate(() -> s.reader("0")).limit(2).toList();
        shared.forEach(reader -> reader.take(1));
        Reader thief = readerOfLevel(s, 1L);
        thief.take(1);
        shared.forEach(reader -> s.isAnswer(reader.error()));
        receivesOn(s, thief);
    }

    @Case("exclusive-stolen-by-higher")
    static void stolenByHigher(Scene s) {
        stolen(s, 1L, 2L);
    }

    @Case("exclusive-stolen-by-equal")
    static void stolenByEqual(Scene s) {
        stolen(s, 0L, 0L);
    }

    private static void stolen(Scene s, Long old, Long level) {
        s.send(List.of("before"));
        Reader victim = readerOfLevel(s, old);
        victim.take(1);
        Reader thief = readerOfLevel(s, level);
        thief.take(1);
        s.isAnswer(victim.error());
        receivesOn(s, thief);
        equal("the victim's events", victim.bodies(), List.of("before"));
    }

    @Case("exclusive-refuses-lower")
    static void refusesLower(Scene s) {
        refused(s, 2L, 1L);
    }

    @Case("exclusive-refuses-shared")
    static void refusesShared(Scene s) {
        refused(s, 0L, null);
        s.reader("0").take(2);
    }

    private static void refused(Scene s, Long owner, Long level) {
        s.send(List.of("before"));
        Reader reader = readerOfLevel(s, owner);
        reader.take(1);
        Reader newcomer = readerOfLevel(s, level);
        s.isAnswer(newcomer.error());
        equal("the newcomer's events", newcomer.bodies(), List.of());
        receivesOn(s, reader);
        reader.close();
    }

    /** A reader that does not come again when it is refused. Level null is a shared one. */
    static Reader readerOfLevel(Scene s, Long level) {
        ReceiveOptions options = level == null ? new ReceiveOptions() : new ReceiveOptions().setOwnerLevel(level);
        return s.reader(s.client().retryOptions(Scene.ONCE), "0", EventPosition.earliest(), options);
    }

    private static void receivesOn(Scene s, Reader reader) {
        s.send(List.of("after"));
        reader.take(2);
        equal("bodies", reader.bodies(), List.of("before", "after"));
    }
}
