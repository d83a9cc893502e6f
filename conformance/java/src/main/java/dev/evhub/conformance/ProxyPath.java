package dev.evhub.conformance;

import static dev.evhub.conformance.Check.eventually;

import com.azure.core.util.BinaryData;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.function.Predicate;

/** A path to the broker that a case can break. runner/proxy.py says what each request does. */
final class ProxyPath {
    private static final HttpClient HTTP = HttpClient.newHttpClient();

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
        State state = ask("POST", control + "/paths");
        String through = connection.replaceFirst("^Endpoint=sb:[^;]*", "Endpoint=sb://" + state.address);
        return new ProxyPath(control + "/paths/" + state.id, through);
    }

    private static State ask(String method, String url) {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).method(method, BodyPublishers.noBody()).build();
        try {
            HttpResponse<String> response = HTTP.send(request, BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IllegalStateException(method + " " + url + ": " + response.statusCode() + " " + response.body());
            }
            return BinaryData.fromString(response.body()).toObject(State.class);
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(method + " " + url, e);
        }
    }

    void cut() {
        ask("POST", url + "/cut");
    }

    void mend() {
        ask("POST", url + "/mend");
    }

    void stall(String sender) {
        ask("POST", url + "/stall/" + sender);
    }

    void resume() {
        ask("POST", url + "/resume");
    }

    /** Who ended each connection so far; "" for one that is open. */
    List<String> ends() {
        return ask("GET", url).connections.stream().map(connection -> connection.open ? "" : connection.endedBy).toList();
    }

    void until(Predicate<List<String>> ended, String what, int seconds) {
        eventually(() -> ended.test(ends()), seconds, () -> "no " + what + " in " + seconds + " s; connections ended by " + ends());
    }
}
