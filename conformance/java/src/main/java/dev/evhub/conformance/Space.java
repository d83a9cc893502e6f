package dev.evhub.conformance;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A space of the broker's test kit: a namespace with one hub, which has the space's name. internal/admin/API.md has the requests. */
final class Space {
    private static final int FIRE_SECONDS_MAX = 30;
    private static final int CLOSE_SECONDS_MAX = 15; // some clients take ten

    private record Made(String space, String connectionString) {}

    private record Listed(List<Event> events) {}

    private record Event(String text) {}

    final String connection; // the connection string
    private final String url;
    private final String hub;

    private Space(String url, String hub, String connection) {
        this.url = url;
        this.hub = hub;
        this.connection = connection;
    }

    static Space open(String admin, String name, int partitions, List<String> groups) {
        String spaces = admin + "/admin/v1/spaces";
        Map<String, Object> hub = Map.of("partitions", partitions, "groups", groups);
        Made made = Web.ask("POST", spaces, Map.of("name", name, "hubs", Map.of(name, hub)), Made.class);
        return new Space(spaces + "/" + made.space, name, made.connectionString);
    }

    /** Sets a fault. The members are those of the request; the hub is added. */
    Fault fault(Map<String, Object> on, Map<String, Object> deed) {
        Map<String, Object> here = new HashMap<>(on);
        here.put("hub", hub);
        String faults = url + "/faults";
        return new Fault(faults + "/" + Web.ask("POST", faults, Map.of("on", here, "do", deed), Fault.State.class).fault);
    }

    record Fault(String url) {
        private record State(String fault, int hits) {}

        /** Waits until it has fired. */
        void fired() {
            Web.ask("GET", url + "?hits=1&timeout=" + FIRE_SECONDS_MAX + "s", State.class);
        }

        /** Gives how often it fired. */
        int remove() {
            return Web.ask("DELETE", url, State.class).hits;
        }
    }

    /** Stores events in partition 0, past all faults. */
    void publish(String... bodies) {
        List<Map<String, Object>> events = Arrays.stream(bodies).map(body -> Map.<String, Object>of("text", body, "partition", 0)).toList();
        Web.ask("POST", url + "/hubs/" + hub + "/events", events, Object.class);
    }

    /** The bodies of all events of the hub. */
    List<String> stored() {
        return Web.ask("GET", url + "/hubs/" + hub + "/events?count=0", Listed.class).events.stream().map(Event::text).toList();
    }

    /** With verify it fails if a fault never fired, or if a link stays open. */
    void delete(boolean verify) {
        Web.ask("DELETE", url + (verify ? "?verify=1&timeout=" + CLOSE_SECONDS_MAX + "s" : ""), Object.class);
    }
}
