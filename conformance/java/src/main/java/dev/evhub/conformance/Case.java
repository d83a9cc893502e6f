package dev.evhub.conformance;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Names the case of the list that a static method with a {@link Scene} is. */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@interface Case {
    String value();

    /** Ends a case that the SDK cannot do; says why. */
    final class NotApplicable extends RuntimeException {
        NotApplicable(String why) {
            super(why);
        }
    }
}
