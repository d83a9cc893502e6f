package azclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
)

// Store is an azeventhubs.CheckpointStore in memory that follows the rules of the one on blob storage: an ownership that nobody had is
// taken without ETag, any other only with the ETag it has now, and each claim gives it another; checkpoints are overwritten, whoever asks;
// names of hubs and groups count as they are written. It is safe for concurrent use.
type Store struct {
	b *evhubtest.Broker

	mu          sync.Mutex // guards what follows
	owners      map[place]azeventhubs.Ownership
	checkpoints map[place]azeventhubs.Checkpoint
	tags        int
	told        []chan struct{} // capacity 1 each: a checkpoint was set
}

var _ azeventhubs.CheckpointStore = (*Store)(nil)

// place is what an ownership or checkpoint belongs to.
type place struct{ namespace, hub, group, partition string }

func (p place) check() error {
	if p.namespace == "" || p.hub == "" || p.group == "" || p.partition == "" {
		return errors.New("azclient: an ownership or checkpoint needs namespace, hub, group and partition")
	}
	return nil
}

// Checkpoints gives an empty store, for any number of processors.
func Checkpoints(b *evhubtest.Broker) *Store {
	return &Store{b: b, owners: make(map[place]azeventhubs.Ownership), checkpoints: make(map[place]azeventhubs.Checkpoint)}
}

// ClaimOwnership claims partitions, and gives those that it could claim.
func (s *Store) ClaimOwnership(ctx context.Context, wanted []azeventhubs.Ownership,
	_ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var claimed []azeventhubs.Ownership
	for _, o := range wanted {
		at := place{o.FullyQualifiedNamespace, o.EventHubName, o.ConsumerGroup, o.PartitionID}
		if err := at.check(); err != nil {
			return nil, err
		}
		have, owned := s.owners[at]
		switch {
		case !owned && o.ETag != nil: // the blob that is to be overwritten is not there
			return nil, fmt.Errorf("azclient: partition %s is claimed with the ETag %s, but nobody has claimed it yet", o.PartitionID, *o.ETag)
		case owned && (o.ETag == nil || *o.ETag != *have.ETag):
			continue // somebody else was faster
		}
		s.tags++
		tag := azcore.ETag(strconv.Itoa(s.tags))
		o.ETag, o.LastModifiedTime = &tag, time.Now().UTC()
		s.owners[at] = o
		claimed = append(claimed, o)
	}
	return claimed, nil
}

// ListOwnership lists who has or had partitions, by partition.
func (s *Store) ListOwnership(ctx context.Context, namespace, hub, group string,
	_ *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return listOf(s.owners, namespace, hub, group), nil
}

// ListCheckpoints lists the checkpoints of a group, by partition.
func (s *Store) ListCheckpoints(ctx context.Context, namespace, hub, group string,
	_ *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return listOf(s.checkpoints, namespace, hub, group), nil
}

func listOf[T any](m map[place]T, namespace, hub, group string) []T {
	var places []place
	for at := range m {
		if at.namespace == namespace && at.hub == hub && at.group == group {
			places = append(places, at)
		}
	}
	slices.SortFunc(places, byPartition)
	list := make([]T, len(places))
	for i, at := range places {
		list[i] = m[at]
	}
	return list
}

// byPartition orders decimal numbers.
func byPartition(a, b place) int {
	return cmp.Or(cmp.Compare(len(a.partition), len(b.partition)), cmp.Compare(a.partition, b.partition))
}

// SetCheckpoint keeps how far a partition has been processed.
func (s *Store) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at := place{c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup, c.PartitionID}
	if err := at.check(); err != nil {
		return err
	}
	if c.SequenceNumber == nil || c.Offset == nil {
		return fmt.Errorf("azclient: the checkpoint of partition %s has no sequence number or no offset; a processor could not read it back", c.PartitionID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkpoints[at] = c
	for _, told := range s.told {
		select {
		case told <- struct{}{}:
		default:
		}
	}
	return nil
}

// Want waits until a group's checkpoint in a partition is at the sequence number or beyond. It waits up to the broker's WaitMax, and ends
// the test if that is not enough. It is for a broker with one hub: where there are several it ends the test and asks for Of.
func (s *Store) Want(t testing.TB, group, partition string, atLeast int64) {
	t.Helper()
	if hubs := s.hubs(); len(hubs) > 1 {
		t.Fatalf("azclient: there are several hubs, %s; say of which the checkpoint is wanted: Of(%[2]q).Want(...)", strings.Join(hubs, ", "), hubs[0])
	}
	s.want(t, "", group, partition, atLeast)
}

// Of is the store as far as one hub goes.
func (s *Store) Of(hub string) HubStore { return HubStore{s, hub} }

// HubStore says what a Store has of one hub.
type HubStore struct {
	s   *Store
	hub string
}

// Want is Store.Want for the hub.
func (h HubStore) Want(t testing.TB, group, partition string, atLeast int64) {
	t.Helper()
	if hubs := h.s.b.Hubs(); hubs != nil && !slices.ContainsFunc(hubs, func(name string) bool { return strings.EqualFold(name, h.hub) }) {
		t.Fatalf("azclient: there is no hub %q; there are %s", h.hub, strings.Join(hubs, ", "))
	}
	h.s.want(t, h.hub, group, partition, atLeast)
}

// hubs are those that the broker has, or, if it does not tell, those that somebody has claimed or checkpointed a partition of.
func (s *Store) hubs() []string {
	if hubs := s.b.Hubs(); hubs != nil {
		return hubs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[string]bool)
	for at := range s.owners {
		names[strings.ToLower(at.hub)] = true
	}
	for at := range s.checkpoints {
		names[strings.ToLower(at.hub)] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// want waits for a checkpoint in a hub; "": there is only one.
func (s *Store) want(t testing.TB, hub, group, partition string, atLeast int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.b.WaitMax())
	defer cancel()
	told := make(chan struct{}, 1)
	s.watch(told)
	defer s.unwatch(told)
	for {
		if at, ok := s.sequence(hub, group, partition); ok && at >= atLeast {
			return
		}
		select {
		case <-told:
		case <-ctx.Done():
			of := ""
			if hub != "" {
				of = " of hub " + hub
			}
			t.Fatalf("azclient: want the checkpoint of partition %s%s in group %s at %d or beyond, waited %v%s",
				partition, of, group, atLeast, s.b.WaitMax(), s.story())
		}
	}
}

func (s *Store) watch(told chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, told)
}

func (s *Store) unwatch(told chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = slices.DeleteFunc(s.told, func(c chan struct{}) bool { return c == told })
}

// sequence is the farthest checkpoint of the group's partition in a hub, "" in any.
func (s *Store) sequence(hub, group, partition string) (farthest int64, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, c := range s.checkpoints {
		ours := (hub == "" || strings.EqualFold(at.hub, hub)) && strings.EqualFold(at.group, group) && at.partition == partition
		if ours && (!found || *c.SequenceNumber > farthest) {
			farthest, found = *c.SequenceNumber, true
		}
	}
	return farthest, found
}

// story lists what is there.
func (s *Store) story() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[place]string)
	for at, o := range s.owners {
		all[at] = "owned by " + cmp.Or(o.OwnerID, "nobody any more") + ", no checkpoint"
	}
	for at, c := range s.checkpoints {
		all[at] = fmt.Sprintf("checkpoint %d", *c.SequenceNumber)
	}
	if len(all) == 0 {
		return "\n  no partition of any group has been claimed or checkpointed"
	}
	places := make([]place, 0, len(all))
	for at := range all {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.hub, b.hub), cmp.Compare(a.group, b.group), byPartition(a, b))
	})
	var text strings.Builder
	for _, at := range places {
		fmt.Fprintf(&text, "\n  %s/%s group %s: %s", at.hub, at.partition, at.group, all[at])
	}
	return text.String()
}
