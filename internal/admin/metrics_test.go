package admin

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func scrape(t *testing.T, a *Admin) string {
	t.Helper()
	w := ask(a, onThisMachine, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	hall := newHall(t)
	ns, err := hall.CreateNamespace("Ns1")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ns.CreateHub(hub.Spec{Name: "Orders", Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	record := eventlog.Record{Step: 64, Data: []byte("hello")}
	h.PartitionAt(1).Append(&eventlog.Batch{Records: []eventlog.Record{record, record, record}, Done: func(*eventlog.Batch) {}})
	reader, err := h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Partition: 1, Group: "$Default"}, func(*hub.Error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	reader.Sent(2, 10)
	a := newAdmin(t, Options{Hall: hall, MemoryBytesMax: 4096, Version: "v1", Connections: func() (int, int64) { return 3, 17 }})

	text := scrape(t, a)
	labels := func(partition int) string {
		return fmt.Sprintf(`{namespace="ns1",hub="Orders",partition="%d"}`, partition)
	}
	for _, want := range []string{
		`evhub_build_info{version="v1",go=`,
		"evhub_memory_limit_bytes 4096\n",
		"evhub_amqp_connections 3\n",
		"evhub_amqp_connections_accepted_total 17\n",
		`evhub_links{kind="sender"} 0` + "\n",
		`evhub_links{kind="reader"} 1` + "\n",
		"evhub_records_in_total" + labels(0) + " 0\n",
		"evhub_records_in_total" + labels(1) + " 3\n",
		"evhub_bytes_in_total" + labels(1) + " 15\n",
		"evhub_records_out_total" + labels(1) + " 2\n",
		"evhub_bytes_out_total" + labels(1) + " 10\n",
		"evhub_evicted_records_total" + labels(1) + " 0\n",
		"evhub_last_sequence_number" + labels(0) + " -1\n",
		"evhub_last_sequence_number" + labels(1) + " 2\n",
		"evhub_kept_records" + labels(1) + " 3\n",
		"evhub_readers" + labels(1) + " 1\n",
		"go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Each of our families is announced once, before its lines, and every line is well formed.
func TestMetricsFormat(t *testing.T) {
	t.Parallel()
	hall := newHall(t)
	ns, err := hall.CreateNamespace("ns1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ns.CreateHub(hub.Spec{Name: "eh1", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^([a-z_0-9]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$`)
	typed, seen := make(map[string]string), make(map[string]bool)
	for l := range strings.Lines(scrape(t, newAdmin(t, Options{Hall: hall}))) {
		l = strings.TrimSuffix(l, "\n")
		if words := strings.Fields(l); strings.HasPrefix(l, "# TYPE ") {
			if typed[words[2]] != "" {
				t.Errorf("%s is announced twice", words[2])
			}
			typed[words[2]] = words[3]
			continue
		}
		if strings.HasPrefix(l, "# HELP ") || !strings.HasPrefix(l, "evhub_") {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("not a metric: %q", l)
			continue
		}
		if seen[m[1]+m[2]] {
			t.Errorf("twice: %q", l)
		}
		seen[m[1]+m[2]] = true
		if counter := strings.HasSuffix(m[1], "_total"); typed[m[1]] == "" || counter != (typed[m[1]] == "counter") {
			t.Errorf("%s has the type %q", m[1], typed[m[1]])
		}
	}
	if len(seen) < 3*len(partitionMetrics) {
		t.Errorf("only %d lines", len(seen))
	}
}

// The hall's numbers must not grow with links, connections or events.
func TestMetricsStaySmall(t *testing.T) {
	t.Parallel()
	hall := newHall(t)
	ns, err := hall.CreateNamespace("ns1")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ns.CreateHub(hub.Spec{Name: "eh1", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	a := newAdmin(t, Options{Hall: hall})
	lines := func() int { return strings.Count(scrape(t, a), "\nevhub_") }
	before := lines()
	for i := range 20 {
		l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Sender, Partition: -1, Client: fmt.Sprint("client", i)}, func(*hub.Error) {})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if after := lines(); after != before {
		t.Errorf("%d lines became %d", before, after)
	}
}
