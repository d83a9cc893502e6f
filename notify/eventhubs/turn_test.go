package eventhubs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// manyKeys gives a message each for so many keys that nobody else has.
func manyKeys(name string, keys int) []notify.Message {
	list := make([]notify.Message, keys)
	for i := range list {
		list[i] = notify.Message{Key: fmt.Sprint(name, i), Body: []byte("a")}
	}
	return list
}

// TestFair: however many keys older calls wait with, a new call's message waits for a place and then goes.
func TestFair(t *testing.T) {
	t.Parallel()
	const rtt = 5 * time.Millisecond
	rows := []struct {
		name    string
		batches int // of 1,000 keys, on their way before
		message notify.Message
	}{
		{"alone", 0, notify.Message{}},
		{"without key, beside one", 1, notify.Message{}},
		{"without key, beside 10", 10, notify.Message{}},
		{"a key, beside 10", 10, notify.Message{Key: "b"}},
		{"a partition, beside 10", 10, notify.Message{Partition: "1"}},
	}
	for _, row := range rows {
		bubble(t, &fake{rtt: rtt, quiet: true}, Options{}, func(t *testing.T, n *Notifier) {
			var others []*later
			for i := range row.batches {
				others = append(others, n.later(t.Context(), 0, manyKeys(fmt.Sprint(i, "-"), 1000)...))
			}
			time.Sleep(2*rtt + rtt/2)
			synctest.Wait()
			for range 3 {
				l := n.later(t.Context(), 0, row.message)
				want(t, row.name, l.reasons(), "stored")
				if l.took >= 3*rtt { // twice as long as alone, and a flight
					t.Errorf("%s: it took %v, and alone %v", row.name, l.took, rtt)
				}
			}
			for _, l := range others {
				<-l.done
			}
			if flights := time.Duration((row.batches*1000+flyingMax-1)/flyingMax + 5); row.batches > 0 && others[0].took > flights*rtt {
				t.Errorf("%s: the others took %v, more than %d flights", row.name, others[0].took, flights)
			}
		})
	}
}

// TestTurns: calls come one after the other, their lanes in order; a lane that goes is passed over.
func TestTurns(t *testing.T) {
	t.Parallel()
	var r turns
	calls := make([]turn, 3)
	lanes := map[string]*lane{}
	for _, name := range []string{"a1", "a2", "a3", "b1", "c1", "c2"} {
		lanes[name] = &lane{to: target{key: name}}
		r.add(&calls[name[0]-'a'], lanes[name])
	}
	text := func(times int) (list string) {
		for range times {
			list += r.next().to.key + " "
		}
		return list
	}
	want(t, "the first round", text(3), "a1 b1 c1 ")
	r.remove(lanes["c2"])
	want(t, "the second round", text(1), "a2 ")
	r.add(&calls[1], lanes["b1"])
	want(t, "a lane that comes back", text(2), "a3 b1 ")
	want(t, "none is left", r.empty(), true)
	for name, l := range lanes {
		if l.turn != nil || l.place.linked() {
			t.Errorf("%s is still in a list", name)
		}
	}
}
