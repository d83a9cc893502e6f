package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// position is where receive starts in each partition.
type position struct {
	by    string // earliest, latest, offset, seq or time
	value int64  // of offset and seq
	at    time.Time
}

const positionSyntax = "earliest, latest, offset:N, seq:N or time:2026-01-31T08:00:00Z"

// parsePosition reads earliest, latest, offset:N, seq:N and time:RFC3339. Offset, number and time are where reading starts, inclusive.
func parsePosition(s string) (position, error) {
	by, value, given := strings.Cut(s, ":")
	p := position{by: by}
	var err error
	switch {
	case (by == "earliest" || by == "latest") && !given:
	case by == "offset" || by == "seq":
		if p.value, err = strconv.ParseInt(value, 10, 64); err != nil || p.value < 0 {
			return p, badUsage("", "--from %s: %q is not a number from 0 on", s, value)
		}
	case by == "time":
		if p.at, err = time.Parse(time.RFC3339, value); err != nil {
			return p, badUsage("", "--from %s: %q is not a time like 2026-01-31T08:00:00Z", s, value)
		}
	default:
		return p, badUsage("", "--from %s: it must be %s", s, positionSyntax)
	}
	return p, nil
}

func (p position) String() string {
	switch p.by {
	case "earliest", "latest":
		return "the " + p.by + " event"
	case "time":
		return "time " + p.at.Format(time.RFC3339)
	case "seq":
		return fmt.Sprintf("sequence number %d", p.value)
	}
	return fmt.Sprintf("%s %d", p.by, p.value)
}

// start is the position in one partition. Latest is pinned to what is there now, so that nothing is lost between now and the attach.
func (p position) start(now azeventhubs.PartitionProperties) azeventhubs.StartPosition {
	yes := true
	switch p.by {
	case "latest":
		if now.LastEnqueuedSequenceNumber >= 0 {
			return azeventhubs.StartPosition{SequenceNumber: &now.LastEnqueuedSequenceNumber}
		}
	case "offset":
		offset := strconv.FormatInt(p.value, 10)
		return azeventhubs.StartPosition{Offset: &offset, Inclusive: true}
	case "seq":
		return azeventhubs.StartPosition{SequenceNumber: &p.value, Inclusive: true}
	case "time":
		return azeventhubs.StartPosition{EnqueuedTime: &p.at, Inclusive: true}
	}
	return azeventhubs.StartPosition{Earliest: &yes}
}

// beyond tells that nothing of what the partition holds now is at or after the position.
func (p position) beyond(now azeventhubs.PartitionProperties) bool {
	switch {
	case now.IsEmpty || p.by == "latest":
		return true
	case p.by == "offset":
		last, err := strconv.ParseInt(now.LastEnqueuedOffset, 10, 64)
		return err == nil && p.value > last
	case p.by == "seq":
		return p.value > now.LastEnqueuedSequenceNumber
	case p.by == "time":
		return p.at.After(now.LastEnqueuedOn)
	}
	return false
}
