package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/evhub-dev/evhub/notify"
)

// Labels are the hubs of Options.Routes and words of this package, so that no caller can add a line.

// counts are those of the whole gateway.
type counts struct {
	refused  [len(kinds)]atomic.Int64 // in the order of kinds
	replayed atomic.Int64
}

// hubCounts are those of one hub. The zero value is ready.
type hubCounts struct {
	requests [len(classes)]atomic.Int64
	stored   atomic.Int64                   // messages
	failed   [len(reasons)]atomic.Int64     // messages, by notify.Reason
	bytes    atomic.Int64                   // of bodies stored
	seconds  [len(buckets) + 1]atomic.Int64 // requests, each in the first bucket that it fits
	nanos    atomic.Int64                   // sum of the same
}

// classes of answers. 207 is apart, since it is neither a success nor a failure.
var classes = [...]string{"2xx", "207", "4xx", "5xx"}

func classOf(status int) int {
	switch {
	case status == http.StatusMultiStatus:
		return 1
	case status >= 500:
		return 3
	case status >= 400:
		return 2
	}
	return 0
}

// buckets are upper bounds of durations: below a millisecond is the gateway alone, above a second is trouble.
var buckets = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

func (h *hubCounts) message(failure notify.Reason) {
	if int(failure) >= len(h.failed) {
		failure = notify.Internal
	}
	h.failed[failure].Add(1)
}

func (h *hubCounts) request(status int, took time.Duration) {
	h.requests[classOf(status)].Add(1)
	at := 0
	for at < len(buckets) && took > buckets[at] {
		at++
	}
	h.seconds[at].Add(1)
	h.nanos.Add(int64(took))
}

// tally counts one message that was sent.
func (c *call) tally(r *notify.Result, bytes int) {
	if r.Err == nil {
		c.stored++
		c.door.counts.stored.Add(1)
		c.door.counts.bytes.Add(int64(bytes))
		return
	}
	reason := notify.ReasonOf(r.Err)
	if reason == notify.Unknown {
		c.lost++
	}
	c.door.counts.message(reason)
}

// count counts the request.
func (c *call) count(took time.Duration) {
	if c.refusedAs != nil {
		c.g.counts.refused[slices.Index(kinds[:], c.refusedAs)].Add(1)
	}
	if c.replayed {
		c.g.counts.replayed.Add(1)
	}
	c.door.counts.request(c.status, took)
}

func (g *Gateway) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	out := bufio.NewWriter(w)
	g.o.Metrics.WritePrometheus(out)
	metrics.WriteProcessMetrics(out)
	out.Flush()
}

// writeMetrics adds the gateway's numbers to the set. The hub "" stands for requests that reached none.
func (g *Gateway) writeMetrics(w io.Writer) {
	family(w, "evhub_gateway_requests_in_flight", "gauge", "Requests under way.")
	fmt.Fprintf(w, "evhub_gateway_requests_in_flight %d\n", g.gate.count())
	family(w, "evhub_gateway_in_flight_bytes", "gauge", "Memory reserved for requests under way.")
	fmt.Fprintf(w, "evhub_gateway_in_flight_bytes %d\n", g.memory.inUse())
	family(w, "evhub_gateway_in_flight_bytes_max", "gauge", "What may be reserved.")
	fmt.Fprintf(w, "evhub_gateway_in_flight_bytes_max %d\n", g.memory.max)
	family(w, "evhub_gateway_idempotency_keys", "gauge", "Idempotency keys that are remembered.")
	fmt.Fprintf(w, "evhub_gateway_idempotency_keys %d\n", g.keys.len())
	family(w, "evhub_gateway_replayed_total", "counter", "Requests that got the answer of an earlier one with their idempotency key.")
	fmt.Fprintf(w, "evhub_gateway_replayed_total %d\n", g.counts.replayed.Load())
	family(w, "evhub_gateway_refused_total", "counter", "Requests of which nothing is known to be stored, by the last part of their problem's type.")
	for i, k := range kinds {
		fmt.Fprintf(w, "evhub_gateway_refused_total{reason=%q} %d\n", k.slug, g.counts.refused[i].Load())
	}
	doors := append([]*door{g.nowhere}, g.allDoors()...)
	writeMessages(w, doors)
	writeRequests(w, doors)
}

func writeMessages(w io.Writer, doors []*door) {
	family(w, "evhub_gateway_messages_total", "counter", "Messages by what became of them.")
	for _, d := range doors[1:] {
		fmt.Fprintf(w, "evhub_gateway_messages_total{hub=%q,outcome=\"stored\"} %d\n", d.name, d.counts.stored.Load())
		for reason := range reasons {
			fmt.Fprintf(w, "evhub_gateway_messages_total{hub=%q,outcome=%q} %d\n", d.name, notify.Reason(reason).String(), d.counts.failed[reason].Load())
		}
	}
	family(w, "evhub_gateway_stored_bytes_total", "counter", "Bodies of messages that were stored.")
	for _, d := range doors[1:] {
		fmt.Fprintf(w, "evhub_gateway_stored_bytes_total{hub=%q} %d\n", d.name, d.counts.bytes.Load())
	}
}

func writeRequests(w io.Writer, doors []*door) {
	family(w, "evhub_gateway_requests_total", "counter", "Requests by the class of their answer.")
	for _, d := range doors {
		for i, class := range classes {
			fmt.Fprintf(w, "evhub_gateway_requests_total{hub=%q,class=%q} %d\n", d.name, class, d.counts.requests[i].Load())
		}
	}
	family(w, "evhub_gateway_request_seconds", "histogram", "How long requests took, from their header to their answer.")
	for _, d := range doors {
		sum := int64(0)
		for i, bound := range buckets {
			sum += d.counts.seconds[i].Load()
			fmt.Fprintf(w, "evhub_gateway_request_seconds_bucket{hub=%q,le=\"%g\"} %d\n", d.name, bound.Seconds(), sum)
		}
		sum += d.counts.seconds[len(buckets)].Load()
		fmt.Fprintf(w, "evhub_gateway_request_seconds_bucket{hub=%q,le=\"+Inf\"} %d\n", d.name, sum)
		fmt.Fprintf(w, "evhub_gateway_request_seconds_sum{hub=%q} %g\n", d.name, time.Duration(d.counts.nanos.Load()).Seconds())
		fmt.Fprintf(w, "evhub_gateway_request_seconds_count{hub=%q} %d\n", d.name, sum)
	}
}

func family(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}
