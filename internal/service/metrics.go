package service

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/evhub-dev/evhub/internal/outbound"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// writeMetrics adds what the verifier and the ways out count. Labels are issuers and hubs of the configuration and words of ours, so that no
// caller can add a line; each line is there from the start, so that the first of a kind is seen as a rise from zero.
func (s *Service) writeMetrics(w io.Writer) {
	fmt.Fprintf(w, "evhub_build_info{version=%q} 1\n", s.o.Version)
	s.writeTokens(w)
	for _, target := range s.targets {
		waiting := target.Waiting()
		for _, hub := range slices.Sorted(maps.Keys(waiting)) {
			writeWaiting(w, fmt.Sprintf("target=%q,hub=%q", target.Name(), hub), waiting[hub])
		}
		stats := target.Stats()
		for _, hub := range slices.Sorted(maps.Keys(stats)) {
			writeTarget(w, fmt.Sprintf("target=%q,hub=%q", target.Name(), hub), stats[hub])
		}
	}
}

func (s *Service) writeTokens(w io.Writer) {
	stats := s.tokens.Stats()
	fmt.Fprintf(w, "evhub_tokens_verified_total %d\n", stats.Verified)
	fmt.Fprintf(w, "evhub_tokens_remembered_total %d\n", stats.CacheHits)
	fmt.Fprintf(w, "evhub_tokens_remembered %d\n", stats.CacheEntries)
	for _, reason := range slices.Sorted(maps.Keys(stats.Refused)) {
		fmt.Fprintf(w, "evhub_tokens_refused_total{reason=%q} %d\n", reason, stats.Refused[reason])
	}
	for _, issuer := range stats.Issuers {
		label := fmt.Sprintf("issuer=%q", issuer.URL)
		fmt.Fprintf(w, "evhub_issuer_keys{%s} %d\n", label, issuer.Keys)
		fmt.Fprintf(w, "evhub_issuer_keys_age_seconds{%s} %.0f\n", label, issuer.Age.Seconds())
		fmt.Fprintf(w, "evhub_issuer_loads_total{%s} %d\n", label, issuer.Loads)
		fmt.Fprintf(w, "evhub_issuer_load_failures_total{%s} %d\n", label, issuer.LoadFailures)
	}
}

func writeWaiting(w io.Writer, label string, s outbound.Waiting) {
	fmt.Fprintf(w, "evhub_target_waiting_messages{%s} %d\n", label, s.Messages)
	fmt.Fprintf(w, "evhub_target_waiting_bytes{%s} %d\n", label, s.Bytes)
	fmt.Fprintf(w, "evhub_target_waiting_bytes_max{%s} %d\n", label, s.BytesMax)
}

func writeTarget(w io.Writer, label string, s eventhubs.Stats) {
	breaker := 0
	if s.BreakerOpen {
		breaker = 1
	}
	fmt.Fprintf(w, "evhub_target_lanes{%s} %d\n", label, s.Lanes)
	fmt.Fprintf(w, "evhub_target_breaker_open{%s} %d\n", label, breaker)
	fmt.Fprintf(w, "evhub_target_batches_total{%s} %d\n", label, s.Batches)
	fmt.Fprintf(w, "evhub_target_batches_lost_total{%s} %d\n", label, s.Lost)
	fmt.Fprintf(w, "evhub_target_batches_throttled_total{%s} %d\n", label, s.Throttled)
	fmt.Fprintf(w, "evhub_target_messages_retried_total{%s} %d\n", label, s.Retried)
	fmt.Fprintf(w, "evhub_target_messages_stored_total{%s} %d\n", label, s.Stored)
	for reason, n := range s.Failed {
		fmt.Fprintf(w, "evhub_target_messages_failed_total{%s,reason=%q} %d\n", label, notify.Reason(reason).String(), n)
	}
}
