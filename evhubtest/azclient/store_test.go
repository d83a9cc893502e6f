package azclient_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/evhubtest/azclient"
)

func ownership(partition, owner string, tag *azcore.ETag) azeventhubs.Ownership {
	return azeventhubs.Ownership{FullyQualifiedNamespace: "n", EventHubName: "h", ConsumerGroup: "g", PartitionID: partition, OwnerID: owner, ETag: tag}
}

func checkpoint(group, partition string, seq int64) azeventhubs.Checkpoint {
	return azeventhubs.Checkpoint{FullyQualifiedNamespace: "n", EventHubName: "h", ConsumerGroup: group, PartitionID: partition,
		SequenceNumber: &seq, Offset: ptr(fmt.Sprint(8 * seq))}
}

// TestOwnership: the rules of the store on blobs.
func TestOwnership(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := azclient.Checkpoints(evhubtest.Start(t))
	claim := func(what string, o azeventhubs.Ownership, want bool) azeventhubs.Ownership {
		t.Helper()
		got, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{o}, nil)
		if err != nil || (len(got) == 1) != want {
			t.Fatalf("%s: claimed %v, %v; want %v", what, got, err, want)
		}
		if !want {
			return azeventhubs.Ownership{}
		}
		return got[0]
	}
	first := claim("a partition that nobody had", ownership("0", "a", nil), true)
	claim("without the ETag", ownership("0", "b", nil), false)
	claim("with another ETag", ownership("0", "b", ptr(azcore.ETag("x"))), false)
	second := claim("with the ETag", ownership("0", "b", first.ETag), true)
	if *second.ETag == *first.ETag || second.LastModifiedTime.Before(first.LastModifiedTime) || second.LastModifiedTime.Location() != time.UTC {
		t.Errorf("claimed again: %+v after %+v", second, first)
	}
	claim("with the ETag of before", ownership("0", "a", first.ETag), false)
	claim("given up", ownership("0", "", second.ETag), true)
	claim("another one", ownership("10", "a", nil), true)
	claim("and another", ownership("9", "a", nil), true)
	if _, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{ownership("7", "a", first.ETag)}, nil); err == nil {
		t.Error("an ETag for what nobody claimed is fine")
	}
	if _, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{{PartitionID: "1"}}, nil); err == nil {
		t.Error("an ownership of no hub is fine")
	}
	list, err := s.ListOwnership(ctx, "n", "h", "g", nil)
	if err != nil || len(list) != 3 || list[0].OwnerID != "" || list[1].PartitionID != "9" || list[2].PartitionID != "10" {
		t.Errorf("owners: %+v, %v", list, err)
	}
	for _, other := range [][3]string{{"m", "h", "g"}, {"n", "i", "g"}, {"n", "h", "G"}} {
		if list, err := s.ListOwnership(ctx, other[0], other[1], other[2], nil); err != nil || len(list) != 0 {
			t.Errorf("owners of %v: %+v, %v", other, list, err)
		}
	}
}

// TestOwnershipRace: of many who claim at once one wins.
func TestOwnershipRace(t *testing.T) {
	t.Parallel()
	s := azclient.Checkpoints(evhubtest.Start(t))
	var all sync.WaitGroup
	won := make(chan string, 50)
	for i := range 50 {
		all.Go(func() {
			got, err := s.ClaimOwnership(context.Background(), []azeventhubs.Ownership{ownership("0", fmt.Sprint(i), nil)}, nil)
			if err != nil {
				t.Error(err)
			}
			for _, o := range got {
				won <- o.OwnerID
			}
		})
	}
	all.Wait()
	list, err := s.ListOwnership(context.Background(), "n", "h", "g", nil)
	if err != nil || len(won) != 1 || len(list) != 1 || list[0].OwnerID != <-won {
		t.Errorf("%d won; %+v, %v", len(won)+1, list, err)
	}
}

// TestCheckpoints: the last one counts, even if it goes back.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	evhubtest.Bubble(t, func(t *testing.T, b *evhubtest.Broker) {
		s := azclient.Checkpoints(b)
		set := func(c azeventhubs.Checkpoint) {
			t.Helper()
			if err := s.SetCheckpoint(ctx, c, nil); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		go func() {
			time.Sleep(time.Minute)
			set(checkpoint("g", "0", 5))
			time.Sleep(time.Minute)
			set(checkpoint("g", "0", 7))
		}()
		s.Want(t, "G", "0", 6)
		if d := time.Since(start); d != 2*time.Minute {
			t.Errorf("waited %v", d)
		}
		set(checkpoint("g", "0", 3))
		set(checkpoint("other", "0", 9))
		list, err := s.ListCheckpoints(ctx, "n", "h", "g", nil)
		if err != nil || len(list) != 1 || *list[0].SequenceNumber != 3 || *list[0].Offset != "24" {
			t.Errorf("checkpoints: %+v, %v", list, err)
		}
	})
	s := azclient.Checkpoints(evhubtest.Start(t))
	incomplete := checkpoint("g", "0", 1)
	incomplete.Offset = nil
	if err := s.SetCheckpoint(ctx, incomplete, nil); err == nil || !strings.Contains(err.Error(), "no offset") {
		t.Errorf("a checkpoint without offset: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.SetCheckpoint(ended, checkpoint("g", "0", 1), nil); err == nil {
		t.Error("a context that has ended is fine")
	}
}
