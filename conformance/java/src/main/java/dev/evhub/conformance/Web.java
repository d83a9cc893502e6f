package dev.evhub.conformance;

import com.azure.core.util.BinaryData;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** JSON over HTTP, for the proxy and the test kit. */
final class Web {
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static final Duration PATIENCE = Duration.ofSeconds(40); // more than anything is asked to wait for

    private Web() {}

    static <T> T ask(String method, String url, Class<T> answer) {
        return ask(method, url, null, answer);
    }

    /** Sends a body, unless it is null. */
    static <T> T ask(String method, String url, Object body, Class<T> answer) {
        BodyPublisher sent = body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(BinaryData.fromObject(body).toString());
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
            .method(method, sent).header("Content-Type", "application/json").timeout(PATIENCE).build();
        try {
            HttpResponse<String> response = HTTP.send(request, BodyHandlers.ofString());
            if (response.statusCode() / 100 != 2) {
                throw new AssertionError(method + " " + url + ": " + response.statusCode() + " " + response.body());
            }
            return BinaryData.fromString(response.body()).toObject(answer);
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(method + " " + url, e);
        }
    }
}
