package dev.evhub.conformance;

import com.azure.core.util.BinaryData;
import dev.evhub.conformance.Case.NotApplicable;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Runs the case list with azure-messaging-eventhubs: the plan is in $EVHUB_PLAN, one JSON line a result goes to standard output. */
final class Suite {
    private static final List<Class<?>> AREAS = List.of(
        Sending.class, Events.class, Positions.class, Receiving.class, Exclusive.class, HubProperties.class, Refusals.class, Faults.class,
        Trouble.class);

    private static final int AT_ONCE = 8; // cases that run at the same time
    private static final int CASE_SECONDS_MAX = 60;

    private static final PrintStream RESULTS = System.out;

    /** As README.md describes it. */
    private record Result(String result, String detail) {}

    public static void main(String[] args) throws Exception {
        System.setOut(System.err); // where the SDK writes its log, if $AZURE_LOG_LEVEL wants one
        Plan plan = Plan.read(Path.of(System.getenv("EVHUB_PLAN")));
        Map<String, Method> cases = cases();
        Deque<Plan.Entry> waiting = new ConcurrentLinkedDeque<>(plan.cases());
        waiting.removeIf(entry -> !cases.containsKey(entry.id()));
        List<Thread> workers = Stream.generate(() -> new Thread(() -> work(plan, cases, waiting))).limit(AT_ONCE).toList();
        workers.forEach(Thread::start);
        for (Thread worker : workers) {
            worker.join();
        }
        Runtime.getRuntime().halt(0); // a client that hangs must not keep the process: its case has failed already
    }

    private static Map<String, Method> cases() {
        Map<String, Method> cases = new HashMap<>();
        for (Class<?> area : AREAS) {
            for (Method method : area.getDeclaredMethods()) {
                Case named = method.getAnnotation(Case.class);
                if (named != null && cases.put(named.value(), method) != null) {
                    throw new IllegalStateException("two methods for case " + named.value());
                }
            }
        }
        return cases;
    }

    /** Runs cases until none is left. The last of the list take longest, so they begin. */
    private static void work(Plan plan, Map<String, Method> cases, Deque<Plan.Entry> waiting) {
        for (Plan.Entry next; (next = waiting.pollLast()) != null; ) {
            long began = System.nanoTime();
            Result result = run(cases.get(next.id()), new Scene(plan, next));
            double seconds = Math.round((System.nanoTime() - began) / 1e7) / 100.0;
            tell(Map.of("case", next.id(), "result", result.result(), "detail", result.detail(), "seconds", seconds));
        }
    }

    /** Performs a case in a thread of its own, which is left behind when the time is up. */
    private static Result run(Method method, Scene scene) {
        Result[] result = {null};
        Thread thread = new Thread(() -> result[0] = perform(method, scene), scene.id);
        thread.setDaemon(true);
        thread.start();
        try {
            thread.join(CASE_SECONDS_MAX * 1000L);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        if (!thread.isAlive()) {
            return result[0];
        }
        String where = Arrays.stream(thread.getStackTrace()).map(frame -> "\n    at " + frame).collect(Collectors.joining());
        return new Result("failed", "the case did not end in " + CASE_SECONDS_MAX + " s; it is" + where);
    }

    private static Result perform(Method method, Scene scene) {
        try (scene) {
            method.invoke(null, scene);
            return new Result("passed", "");
        } catch (InvocationTargetException e) {
            Throwable cause = e.getCause();
            return cause instanceof NotApplicable ? new Result("not-applicable", cause.getMessage()) : new Result("failed", trace(cause));
        } catch (Throwable e) {
            return new Result("failed", trace(e));
        }
    }

    private static String trace(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    private static synchronized void tell(Map<String, Object> line) {
        RESULTS.println(BinaryData.fromObject(line));
    }
}
