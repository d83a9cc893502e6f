package dev.evhub.conformance;

import com.azure.messaging.eventhubs.CheckpointStore;
import com.azure.messaging.eventhubs.models.Checkpoint;
import com.azure.messaging.eventhubs.models.PartitionOwnership;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Checkpoints and ownership in memory, for the one processor of a hub's consumer group. The SDK asks the same flux again and again. */
final class Checkpoints implements CheckpointStore {
    private final Map<String, PartitionOwnership> owners = new ConcurrentHashMap<>(); // by partition
    private final Map<String, Checkpoint> checkpoints = new ConcurrentHashMap<>(); // likewise

    @Override
    public Flux<PartitionOwnership> listOwnership(String namespace, String hub, String group) {
        return Flux.defer(() -> Flux.fromIterable(List.copyOf(owners.values())));
    }

    @Override
    public Flux<PartitionOwnership> claimOwnership(List<PartitionOwnership> requested) {
        return Flux.fromIterable(requested).map(ownership -> {
            ownership.setETag(UUID.randomUUID().toString()).setLastModifiedTime(System.currentTimeMillis());
            owners.put(ownership.getPartitionId(), ownership);
            return ownership;
        });
    }

    @Override
    public Flux<Checkpoint> listCheckpoints(String namespace, String hub, String group) {
        return Flux.defer(() -> Flux.fromIterable(List.copyOf(checkpoints.values())));
    }

    @Override
    public Mono<Void> updateCheckpoint(Checkpoint checkpoint) {
        return Mono.fromRunnable(() -> checkpoints.put(checkpoint.getPartitionId(), checkpoint));
    }
}
