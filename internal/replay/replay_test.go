// Package replay plays what clients were recorded to send to the real service to our broker, and compares the answers with the service's:
// frame by frame, field by field, null against value, sizes, order and encodings. The exchanges in testdata are written down from the
// recordings (and, where a line says so, from reports of others); how to read them stands at the type exchange.
//
// testdata/differences.txt lists what we do otherwise, each with its reason. A difference that is not there fails the test, and so does
// one that is there and does not occur.
package replay

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplay(t *testing.T) {
	files, err := fs.Glob(testdata, "testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := loadDifferences(t)
	var played atomic.Int32
	t.Run("exchanges", func(t *testing.T) {
		for _, file := range files {
			if file == differencesFile {
				continue
			}
			t.Run(strings.TrimSuffix(path.Base(file), ".txt"), func(t *testing.T) {
				t.Parallel()
				played.Add(1)
				ex := loadExchange(t, file)
				synctest.Test(t, func(t *testing.T) { play(t, ex, known) })
			})
		}
	})
	if int(played.Load()) == len(files)-1 { // not if -run picked some
		known.checkAllOccurred(t)
	}
}

// play runs one exchange.
func play(t *testing.T, ex *exchange, known *differences) {
	w := newWorld(t, ex.world)
	defer w.close()
	for rest := ex.steps; len(rest) > 0; {
		if s := rest[0]; s.frame == nil {
			w.do(s)
			rest = rest[1:]
			continue
		}
		n := burstLength(rest)
		w.play(rest[:n], known)
		rest = rest[n:]
	}
}

// do carries out a directive.
func (w *world) do(s step) {
	switch s.verb {
	case "clock":
		w.clock.sleepUntil(w.t, s.words)
	case "publish":
		w.publish(s.where, s.words)
	case "delete-group":
		if err := w.hub.DeleteGroup(s.words); err != nil {
			w.t.Fatalf("%s: %v", s.where, err)
		}
	}
}

// burstLength counts the steps of the burst that begins here: what clients send, then what they get.
func burstLength(steps []step) int {
	n := 0
	for n < len(steps) && steps[n].verb == ">" {
		n++
	}
	for n < len(steps) && steps[n].verb == "<" {
		n++
	}
	return n
}

// play sends a burst and compares what comes back.
func (w *world) play(burst []step, known *differences) {
	w.t.Helper()
	want := map[string][]*frame{}
	out := map[string][]byte{}
	var last time.Duration
	var order []string
	for _, s := range burst {
		c := w.client(s.conn)
		if !slices.Contains(order, s.conn) {
			order = append(order, s.conn)
		}
		if s.verb == ">" {
			c.streams.sent(s.frame)
			out[s.conn] = append(out[s.conn], w.encodeSplit(s.frame)...)
			continue
		}
		want[s.conn] = append(want[s.conn], s.frame)
		last = max(last, s.frame.at)
	}
	began := time.Now()
	for _, name := range order {
		if b := out[name]; len(b) > 0 {
			w.client(name).send(b)
		}
	}
	w.settle(last)
	for _, name := range slices.Sorted(maps.Keys(w.conns)) {
		c := w.conns[name]
		for _, d := range c.streams.compare(want[name], c.take(began), burst[0], c.bound) {
			if !known.allow(d) {
				w.t.Errorf("%v", d)
			}
		}
	}
}
