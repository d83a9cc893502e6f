package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of the allowed origins may send and see. Prefixes end with a dash.
var (
	corsRequestHeaders = []string{
		"authorization", "content-type", "idempotency-key", "partition-key", "partition-id", "prefer", "traceparent", "tracestate",
	}
	corsRequestPrefixes = []string{"ce-", "message-property-"}

	valueExposed  = []string{"Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, Server-Timing, WWW-Authenticate"}
	valueVary     = []string{"Origin"}
	valueCORSTime = []string{"600"}
)

// fromOtherOrigin lets pages of the origins in Options.Origins call, and answers their preflights: then it tells true. A page of another
// origin gets no such header, and its browser stops it; without a token, which only the preflight lets it send, its call is refused anyhow.
func (c *call) fromOtherOrigin() bool {
	if len(c.g.origins) == 0 {
		return false
	}
	h := c.w.Header()
	h["Vary"] = valueVary
	origin := c.r.Header.Get("Origin")
	if !c.g.origins[origin] {
		return false
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	h["Access-Control-Expose-Headers"] = valueExposed
	if c.r.Method != http.MethodOptions || c.r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h["Access-Control-Allow-Methods"] = []string{"GET, POST"}
	h["Access-Control-Max-Age"] = valueCORSTime
	if allowed := allowedHeaders(c.r.Header.Get("Access-Control-Request-Headers")); allowed != "" {
		h.Set("Access-Control-Allow-Headers", allowed)
	}
	c.status = http.StatusNoContent
	c.w.WriteHeader(c.status)
	return true
}

// allowedHeaders gives those of the headers asked for that mean something here.
func allowedHeaders(asked string) string {
	var allowed []string
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		isOurs := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if isToken(name) && (slices.Contains(corsRequestHeaders, name) || slices.ContainsFunc(corsRequestPrefixes, isOurs)) {
			allowed = append(allowed, name)
		}
	}
	return strings.Join(allowed, ", ")
}
