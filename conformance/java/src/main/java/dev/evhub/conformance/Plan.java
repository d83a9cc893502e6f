package dev.evhub.conformance;

import com.azure.core.util.BinaryData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** What the runner wants to be run, as conformance/README.md describes it. */
record Plan(String connectionString, int idleTimeoutSeconds, String admin, String proxy, List<Entry> cases) {

    /** One case, with a hub of its own. */
    record Entry(String id, String hub, List<String> partitions, List<String> groups, Map<String, String> credentials, Answer answer) {}

    /** How the broker must refuse. */
    record Answer(String text, String condition, int status) {}

    static Plan read(Path file) throws IOException {
        return BinaryData.fromBytes(Files.readAllBytes(file)).toObject(Plan.class);
    }
}
