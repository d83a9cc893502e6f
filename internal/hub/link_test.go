package hub

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata")

// TestScenes plays the scenes of testdata/links.txt: steps, a line "----", and what came of them.
func TestScenes(t *testing.T) {
	t.Parallel()
	const file = "testdata/links.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		steps, _, ok := strings.Cut(s, "\n----")
		if !ok {
			t.Fatalf("scene without a line of dashes:\n%s", s)
		}
		title, _, _ := strings.Cut(steps, "\n")
		var got string
		t.Run(strings.TrimPrefix(title, "# "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { got = steps + "\n----" + playScene(t, steps) })
			if got != s && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, s)
			}
		})
		out = append(out, got)
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type scene struct {
	t     *testing.T
	hall  *Hall
	hub   *Hub
	links map[string]*Link

	mu  sync.Mutex // a cut may come on a goroutine of the clock
	out strings.Builder
}

func playScene(t *testing.T, steps string) string {
	s := &scene{t: t, links: map[string]*Link{}}
	for line := range strings.Lines(steps) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			s.step(strings.Fields(line))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *scene) step(words []string) {
	verb, args := words[0], words[1:]
	switch verb {
	case "hub": // partitions, options
		s.open(args)
	case "reader": // link, group/partition, options
		group, partition, _ := strings.Cut(args[1], "/")
		s.reader(args[0], group, partition, args[2:])
	case "sender": // link, partition or *
		i, err := strconv.Atoi(args[1])
		if err != nil {
			i = -1
		}
		s.link(args[0], LinkInfo{Kind: Sender, Partition: i})
	case "close":
		s.links[args[0]].Close()
	case "wait":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
		synctest.Wait()
	case "drop":
		s.drop(args[0], args[1:])
	case "links":
		s.list()
	default:
		s.t.Fatalf("unknown step %q", verb)
	}
}

func (s *scene) open(args []string) {
	o := Options{}
	spec := Spec{Name: "orders", Groups: []string{"Audit"}}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "partitions":
			spec.Partitions, _ = strconv.Atoi(value)
		case "readers":
			o.ReadersMax, _ = strconv.Atoi(value)
		case "delay":
			o.StealDelay, _ = time.ParseDuration(value)
		default:
			s.t.Fatalf("unknown option %q", arg)
		}
	}
	s.hall = newHall(s.t, o)
	s.hub = newHub(s.t, s.hall, spec)
}

func (s *scene) reader(name, group, partition string, options []string) {
	info := LinkInfo{Kind: Reader, Group: group}
	info.Partition, _ = strconv.Atoi(partition)
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "epoch":
			info.HasEpoch = true
			info.Epoch, _ = strconv.ParseInt(value, 10, 64)
		case "name":
			info.Name = value
		default:
			s.t.Fatalf("unknown option %q", option)
		}
	}
	s.link(name, info)
}

func (s *scene) link(name string, info LinkInfo) {
	l, err := s.hub.OpenLink(info, func(why *Error) { s.say("%s: cut, %v: %s", name, why.Kind, why.Text) })
	if err != nil {
		s.say("%s: refused, %v: %v", name, KindOf(err), err)
		return
	}
	s.links[name] = l
	s.say("%s: open", name)
}

func (s *scene) drop(what string, args []string) {
	var err error
	switch what {
	case "hub":
		err = s.hub.Namespace().DeleteHub(s.hub.Name())
	case "group":
		err = s.hub.DeleteGroup(args[0])
	case "namespace":
		err = s.hall.DeleteNamespace(s.hub.Namespace().Name())
	case "hall":
		err = s.hall.Close()
	default:
		s.t.Fatalf("cannot drop %q", what)
	}
	if err != nil {
		s.say("%v: %v", KindOf(err), err)
	}
}

func (s *scene) list() {
	var list []string
	for _, l := range s.hall.Links() {
		text := l.Kind.String() + " " + strconv.Itoa(l.Partition)
		if l.Kind == Reader {
			text = fmt.Sprintf("reader %s/%d", l.Group, l.Partition)
		}
		if l.HasEpoch {
			text += fmt.Sprintf(" epoch=%d", l.Epoch)
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		list = []string{"none"}
	}
	s.say("links: %s", strings.Join(list, ", "))
}

func (s *scene) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, "\n"+format, args...)
}

// TestCloseWaitsForCut leaves it to the race detector to say that a cut and what follows Close overlap.
func TestCloseWaitsForCut(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	b := newHub(t, h, Spec{Name: "orders", Partitions: 1})
	info := LinkInfo{Kind: Reader, Group: defaultGroup, HasEpoch: true}
	for range 200 {
		finished := false // on purpose without a lock
		begun := make(chan struct{})
		l, err := b.OpenLink(info, func(*Error) {
			close(begun)
			for range 20 {
				runtime.Gosched()
			}
			finished = true
		})
		if err != nil {
			t.Fatal(err)
		}
		stolen := make(chan *Link, 1)
		go func() {
			thief, err := b.OpenLink(info, nil)
			if err != nil {
				t.Error(err)
				close(begun)
			}
			stolen <- thief
		}()
		<-begun
		if t.Failed() {
			return
		}
		l.Close()
		if !finished {
			t.Fatal("Close returned before the cut was done")
		}
		(<-stolen).Close()
	}
}

func TestLinkState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, Options{})
		b := newHub(t, h, Spec{Name: "Orders", Partitions: 2, Groups: []string{"Audit"}})
		start := time.Now()
		info := LinkInfo{Kind: Reader, Partition: 1, Group: "AUDIT", Name: "r1", Client: "container", Agent: "app/1 sdk/2", Principal: "key", Epoch: 3, HasEpoch: true}
		r, err := b.OpenLink(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s, err := b.OpenLink(LinkInfo{Kind: Sender, Partition: -1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetCredit(300)
		r.SetCredit(299)
		r.Sent(2, 500)
		r.Sent(1, 250)
		s.AddUnsettled(3)
		s.AddUnsettled(-1)
		info.Group = "Audit"
		want := []LinkState{
			{ID: 1, LinkInfo: info, Namespace: "ns", Hub: "Orders", Credit: 299, Records: 3, Bytes: 750, Since: start},
			{ID: 2, LinkInfo: LinkInfo{Partition: -1}, Namespace: "ns", Hub: "Orders", Unsettled: 2, Since: start.Add(time.Second)},
		}
		if got := h.Links(); !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if r.Hub() != b || r.Partition() != b.PartitionAt(1) || r.Info() != info || s.Partition() != nil {
			t.Error("a link does not know where it is")
		}
		s.Close()
		s.Close()
		if got := h.Links(); len(got) != 1 || got[0].ID != 1 {
			t.Errorf("after Close: %+v", got)
		}
	})
}

// TestWatch wakes for each kind of change, once the change can be seen.
func TestWatch(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{})
	b := newHub(t, h, Spec{Name: "orders", Partitions: 1, Groups: []string{"audit"}})
	var l *Link
	open := func() {
		var err error
		if l, err = b.OpenLink(LinkInfo{Kind: Reader, Group: "audit"}, nil); err != nil {
			t.Error(err)
		}
	}
	rows := []struct {
		name string
		do   func()
		seen func([]LinkState) bool
	}{
		{"open", open, func(s []LinkState) bool { return len(s) == 1 }},
		{"credit", func() { l.SetCredit(5) }, func(s []LinkState) bool { return s[0].Credit == 5 }},
		{"unsettled", func() { l.AddUnsettled(1) }, func(s []LinkState) bool { return s[0].Unsettled == 1 }},
		{"sent", func() { l.Sent(1, 10) }, func(s []LinkState) bool { return s[0].Records == 1 }},
		{"close", func() { l.Close() }, func(s []LinkState) bool { return len(s) == 0 }},
		{"open again", open, func(s []LinkState) bool { return len(s) == 1 }},
		{"cut", func() { _ = b.DeleteGroup("audit") }, func(s []LinkState) bool { return len(s) == 0 }},
	}
	for _, row := range rows {
		seen := false
		calls := 0
		stop := h.Watch(func() {
			calls++
			seen = seen || row.seen(h.Links())
		})
		row.do()
		stop()
		stop()
		if !seen {
			t.Errorf("%s: not seen in %d calls", row.name, calls)
		}
	}
	if h.watches.list.Load() != nil {
		t.Error("watches are left over")
	}
}

// TestWatchWaits waits for readers the way a test kit does.
func TestWatchWaits(t *testing.T) {
	t.Parallel()
	h := newHall(t, Options{ReadersMax: 100})
	b := newHub(t, h, Spec{Name: "orders", Partitions: 1})
	for range 100 {
		go func() {
			l, err := b.OpenLink(LinkInfo{Kind: Reader, Group: defaultGroup}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			l.SetCredit(1)
		}()
	}
	changed := make(chan struct{}, 1)
	stop := h.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	ready := func() (n int) {
		for _, l := range h.Links() {
			if l.Credit > 0 {
				n++
			}
		}
		return n
	}
	for ready() < 100 {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d readers, want 100", ready())
		}
	}
}
