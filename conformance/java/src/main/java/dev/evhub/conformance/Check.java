package dev.evhub.conformance;

import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** The words to assert with, and to wait with. */
final class Check {
    static final int SECONDS_MAX = 30; // for anything that must happen

    private static final int POLL_MILLIS = 20;

    private Check() {}

    static void equal(String what, Object got, Object want) {
        that(Objects.equals(got, want), () -> what + " = " + brief(got) + ", want " + brief(want));
    }

    static void that(boolean condition, Supplier<String> otherwise) {
        if (!condition) {
            throw new AssertionError(otherwise.get());
        }
    }

    /** The error that an action fails with. */
    static Throwable failure(Runnable action) {
        try {
            action.run();
        } catch (RuntimeException error) {
            return error;
        }
        throw new AssertionError("it was not refused");
    }

    /** Looks again and again until a condition is met. */
    static void eventually(BooleanSupplier condition, int seconds, Supplier<String> otherwise) {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.getAsBoolean()) {
            that(System.nanoTime() < deadline, otherwise);
            pause(POLL_MILLIS);
        }
    }

    static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String brief(Object value) {
        String text = String.valueOf(value);
        return text.length() < 600 ? text : text.substring(0, 400) + " .. " + text.substring(text.length() - 150);
    }
}
