package dev.evhub.conformance;

import static dev.evhub.conformance.Check.eventually;

import java.util.List;
import java.util.function.Predicate;

/** A path to the broker that a case can break. runner/proxy.py says what each request does. */
final class ProxyPath {
    private record State(int id, String address, List<Connection> connections) {}

    private record Connection(boolean open, String endedBy) {}

    final String connection; // the connection string for this path
    private final String url;

    private ProxyPath(String url, String connection) {
        this.url = url;
        this.connection = connection;
    }

    /** Opens a path of the proxy whose control address is given. */
    static ProxyPath open(String control, String connection) {
        State state = Web.ask("POST", control + "/paths", State.class);
        String through = connection.replaceFirst("^Endpoint=sb:[^;]*", "Endpoint=sb://" + state.address);
        return new ProxyPath(control + "/paths/" + state.id, through);
    }

    void cut() {
        Web.ask("POST", url + "/cut", State.class);
    }

    void mend() {
        Web.ask("POST", url + "/mend", State.class);
    }

    void stall(String sender) {
        Web.ask("POST", url + "/stall/" + sender, State.class);
    }

    void resume() {
        Web.ask("POST", url + "/resume", State.class);
    }

    /** Who ended each connection so far; "" for one that is open. */
    List<String> ends() {
        return Web.ask("GET", url, State.class).connections.stream().map(connection -> connection.open ? "" : connection.endedBy).toList();
    }

    void until(Predicate<List<String>> ended, String what, int seconds) {
        eventually(() -> ended.test(ends()), seconds, () -> "no " + what + " in " + seconds + " s; connections ended by " + ends());
    }
}
