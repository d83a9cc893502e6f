package replay

import (
	"fmt"
	"time"
)

// streams tells which link a frame belongs to: frames of different links may come in another order within a burst.
type streams struct {
	client, want, got direction
}

// direction is what one side has said about its links. want and got have one each, since they may give handles differently.
type direction struct {
	links      map[[2]int64]string // names, by channel and handle
	deliveries map[int64]string    // names of links, by delivery-id
}

func newStreams() streams { return streams{newDirection(), newDirection(), newDirection()} }

func newDirection() direction { return direction{map[[2]int64]string{}, map[int64]string{}} }

// link is the name of the link that a frame belongs to, "" if it belongs to none.
func (d *direction) link(f *frame) string {
	at := [2]int64{int64(f.channel), f.get("handle").number()}
	switch f.kind() {
	case "attach":
		d.links[at] = string(f.get("name").data)
	case "flow":
		if f.get("handle").isNull() {
			return fmt.Sprintf("the session on channel %d", f.channel)
		}
	case "transfer":
		if id := f.get("delivery-id"); !id.isNull() {
			d.deliveries[id.number()] = d.links[at]
		}
	case "detach":
	default:
		return ""
	}
	return d.links[at]
}

func (s *streams) sent(f *frame) { s.client.link(f) }

// stream is link for a frame of the service's side, and knows of dispositions too.
func (s *streams) stream(d *direction, f *frame) string {
	if f.kind() != "disposition" {
		return d.link(f)
	}
	if f.get("role").number() == 1 {
		return s.client.deliveries[f.get("first").number()]
	}
	return d.deliveries[f.get("first").number()]
}

// compare finds the differences between what the service sent in a burst, which began with a step, and what we did.
func (s *streams) compare(want, got []*frame, begin step, bound map[string]string) (diffs []difference) {
	wantStreams, gotStreams := make([]string, len(want)), make([]string, len(got))
	for i, f := range want {
		wantStreams[i] = s.stream(&s.want, f)
	}
	for j, f := range got {
		gotStreams[j] = s.stream(&s.got, f)
	}
	pairs := align(want, got, wantStreams, gotStreams)
	taken := map[int]bool{}
	for i, f := range want {
		j := pairs[i]
		if j < 0 {
			diffs = append(diffs, difference{f.file, f.key, "frame", f.String(), "nothing", f.where})
			continue
		}
		taken[j] = true
		if overtakes(i, pairs, wantStreams, gotStreams) {
			diffs = append(diffs, difference{f.file, f.key, "order", "as written", "after a later frame of the same link", f.where})
		}
		diffs = append(diffs, compareFrames(f, got[j], bound)...)
	}
	for j, f := range got {
		if !taken[j] {
			diffs = append(diffs, extra(f, begin))
		}
	}
	return diffs
}

// extra is a frame of ours that the service does not send.
func extra(f *frame, begin step) difference {
	return difference{
		file: begin.frame.file, frame: begin.frame.key, field: "extra " + f.kind(),
		azure: "nothing", evhub: fmt.Sprintf("%v after %v", f, f.at.Round(time.Millisecond)), where: begin.where,
	}
}

// align finds for each frame of the service ours: the first one left of that kind on that link. -1 is none.
func align(want, got []*frame, wantStreams, gotStreams []string) []int {
	pairs := make([]int, len(want))
	taken := make([]bool, len(got))
	for i, f := range want {
		pairs[i] = -1
		for j, g := range got {
			if !taken[j] && f.kind() == g.kind() && wantStreams[i] == gotStreams[j] {
				pairs[i], taken[j] = j, true
				break
			}
		}
	}
	return pairs
}

// overtakes says whether frame i has come after one that stands behind it and belongs to the same link, or to none.
func overtakes(i int, pairs []int, wantStreams, gotStreams []string) bool {
	for later := i + 1; later < len(pairs); later++ {
		bound := wantStreams[i] == wantStreams[later] || wantStreams[i] == "" || wantStreams[later] == ""
		if bound && pairs[later] >= 0 && pairs[later] < pairs[i] {
			return true
		}
	}
	return false
}
