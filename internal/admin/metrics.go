package admin

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"github.com/VictoriaMetrics/metrics"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// metrics writes what the broker counts, and what the process uses (go_*, process_*), in Prometheus' text format.
func (a *Admin) metrics(w http.ResponseWriter, r *http.Request) error {
	if err := a.operator(r, ""); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	a.o.Metrics.WritePrometheus(out)
	metrics.WriteProcessMetrics(out)
	out.Flush()
	return nil
}

// writeMetrics adds the hall's numbers to the set. Their count grows with partitions, and with nothing that a client can choose.
func (a *Admin) writeMetrics(w io.Writer) {
	family(w, "evhub_build_info", "gauge", "Always 1; the labels say what runs.")
	fmt.Fprintf(w, "evhub_build_info{version=%q,go=%q} 1\n", a.o.Version, runtime.Version())
	family(w, "evhub_memory_limit_bytes", "gauge", "Budget for events in memory.")
	fmt.Fprintf(w, "evhub_memory_limit_bytes %d\n", a.o.MemoryBytesMax)
	if a.o.Connections != nil {
		open, accepted := a.o.Connections()
		family(w, "evhub_amqp_connections", "gauge", "AMQP connections that are open.")
		fmt.Fprintf(w, "evhub_amqp_connections %d\n", open)
		family(w, "evhub_amqp_connections_accepted_total", "counter", "AMQP connections since the start, health checks included.")
		fmt.Fprintf(w, "evhub_amqp_connections_accepted_total %d\n", accepted)
	}
	a.writeLinks(w)
	a.writePartitions(w)
}

func (a *Admin) writeLinks(w io.Writer) {
	links := a.o.Hall.Links()
	count := make(map[hub.LinkKind]int)
	for i := range links {
		count[links[i].Kind]++
	}
	family(w, "evhub_links", "gauge", "Links by what their client does.")
	for _, kind := range []hub.LinkKind{hub.Sender, hub.Reader} {
		fmt.Fprintf(w, "evhub_links{kind=%q} %d\n", kind, count[kind])
	}
}

// partition is one moment of one partition.
type partition struct {
	hub.Totals
	eventlog.State
}

// partitionMetrics has a row for each family with a line for each partition.
var partitionMetrics = [...]struct {
	name, kind, help string
	value            func(*partition) int64
}{
	{"evhub_records_in_total", "counter", "Events offered by senders.", func(p *partition) int64 { return p.RecordsIn }},
	{"evhub_bytes_in_total", "counter", "Bytes of the same, as stored.", func(p *partition) int64 { return p.BytesIn }},
	{"evhub_records_out_total", "counter", "Events sent to readers, of all groups.", func(p *partition) int64 { return p.RecordsOut }},
	{"evhub_bytes_out_total", "counter", "Bytes of the same, as stored.", func(p *partition) int64 { return p.BytesOut }},
	{"evhub_evicted_records_total", "counter", "Events that went before their time, over budget.", func(p *partition) int64 { return p.Evicted }},
	{"evhub_last_sequence_number", "gauge", "Of the last event ever stored, -1 before the first.", func(p *partition) int64 { return p.Last.Seq }},
	{"evhub_kept_records", "gauge", "Events that can be read.", func(p *partition) int64 { return p.Next.Seq - p.First }},
	{"evhub_kept_bytes", "gauge", "Memory or disk taken by the same.", func(p *partition) int64 { return p.State.Bytes }},
	{"evhub_readers", "gauge", "Links that read, of all groups.", func(p *partition) int64 { return int64(p.Readers) }},
}

func (a *Admin) writePartitions(w io.Writer) {
	partitions := a.partitions()
	labels := make([]string, len(partitions))
	for i := range partitions {
		t := &partitions[i].Totals
		labels[i] = fmt.Sprintf(`{namespace=%q,hub=%q,partition="%d"}`, t.Namespace, t.Hub, t.Partition)
	}
	for _, m := range partitionMetrics {
		family(w, m.name, m.kind, m.help)
		for i := range partitions {
			fmt.Fprintf(w, "%s%s %d\n", m.name, labels[i], m.value(&partitions[i]))
		}
	}
}

// partitions leaves out hubs that are deleted while it looks.
func (a *Admin) partitions() []partition {
	totals := a.o.Hall.Totals()
	list := make([]partition, 0, len(totals))
	for _, t := range totals {
		ns := a.o.Hall.Namespace(t.Namespace)
		if ns == nil {
			continue
		}
		b, err := ns.Hub(t.Hub)
		if err != nil || t.Partition >= b.PartitionCount() {
			continue
		}
		list = append(list, partition{t, b.PartitionAt(t.Partition).State()})
	}
	return list
}

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}
