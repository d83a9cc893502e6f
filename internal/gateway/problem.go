package gateway

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// problemBase and a kind's slug make the type URI of RFC 9457. They are part of the API: a slug never changes its meaning.
const problemBase = "https://evhub.dev/problems/"

// kind is a sort of failure. Of several that befell a batch, the one of the highest rank speaks for all.
type kind struct {
	slug      string
	status    int
	title     string
	outcome   outcomeWord
	retryable bool          // the same request may succeed later
	wait      time.Duration // for Retry-After where nothing better is known; 0: none
	rank      uint8
}

// outcomeWord says what may have become of the messages; "" where the question does not come up.
type outcomeWord string

const (
	notStored outcomeWord = "not stored"
	unknown   outcomeWord = "unknown"
)

var (
	noSuchPath       = &kind{slug: "no-such-path", status: 404, title: "No such path"}
	methodNotAllowed = &kind{slug: "method-not-allowed", status: 405, title: "Method not allowed"}
	draining         = &kind{slug: "draining", status: 503, title: "Shutting down",
		outcome: notStored, retryable: true, wait: time.Second, rank: 5,
	}

	// the caller
	badCredential = &kind{slug: "bad-credential", status: 400, title: "Credential sent in the wrong way", outcome: notStored}
	unauthorized  = &kind{slug: "unauthorized", status: 401, title: "Credential missing or refused", outcome: notStored}
	uncheckable   = &kind{slug: "credential-not-checked", status: 503, title: "Credential cannot be checked now",
		outcome: notStored, retryable: true, wait: 2 * time.Second,
	}
	overRefused = &kind{slug: "too-many-refused-tokens", status: 429, title: "Too many refused tokens from your address",
		outcome: notStored, retryable: true, wait: time.Second,
	}
	forbidden = &kind{slug: "forbidden", status: 403, title: "No right to publish here", outcome: notStored}
	overQuota = &kind{slug: "over-quota", status: 429, title: "Over your quota",
		outcome: notStored, retryable: true, wait: time.Second,
	}
	overShare = &kind{slug: "too-much-in-flight", status: 429, title: "Too much of yours is under way",
		outcome: notStored, retryable: true, wait: time.Second,
	}
	keyInUse = &kind{slug: "idempotency-key-in-use", status: 409, title: "The first request with this key is under way",
		retryable: true, wait: time.Second,
	}
	keyUsedForElse = &kind{slug: "idempotency-key-reused", status: 422, title: "The key was used for another request", outcome: notStored}

	// the request
	unknownHub     = &kind{slug: "unknown-hub", status: 404, title: "No such hub or partition", outcome: notStored, rank: 3}
	badQuery       = &kind{slug: "unexpected-query", status: 400, title: "A query that would be ignored", outcome: notStored}
	badHeader      = &kind{slug: "bad-header", status: 400, title: "A header cannot be used", outcome: notStored}
	badType        = &kind{slug: "unsupported-content-type", status: 415, title: "Content type not taken here", outcome: notStored}
	badEncoding    = &kind{slug: "unsupported-content-encoding", status: 415, title: "Content encodings are not taken", outcome: notStored}
	tooLarge       = &kind{slug: "too-large", status: 413, title: "Too large", outcome: notStored, rank: 2}
	slowBody       = &kind{slug: "slow-body", status: 408, title: "The body came too slowly", outcome: notStored, retryable: true}
	brokenBody     = &kind{slug: "incomplete-body", status: 400, title: "The body ended early", outcome: notStored, retryable: true}
	badJSON        = &kind{slug: "malformed-json", status: 400, title: "Not JSON", outcome: notStored}
	invalidMessage = &kind{slug: "invalid-message", status: 422, title: "Not a message that can be sent", outcome: notStored, rank: 1}

	// the service and what stands behind it
	overloaded = &kind{slug: "overloaded", status: 503, title: "Overloaded", outcome: notStored, retryable: true, wait: time.Second}
	internal   = &kind{slug: "internal", status: 500, title: "Internal error", outcome: notStored, rank: 8}
	refused    = &kind{slug: "refused-by-target", status: 502, title: "The event hub refuses this gateway", outcome: notStored, rank: 7}
	busy       = &kind{slug: "busy", status: 503, title: "The event hub is busy",
		outcome: notStored, retryable: true, wait: time.Second, rank: 4,
	}
	unavailable = &kind{slug: "unavailable", status: 503, title: "The event hub cannot be reached",
		outcome: notStored, retryable: true, wait: 2 * time.Second, rank: 6,
	}
	expired = &kind{slug: "expired", status: 503, title: "The time ran out before the message was sent",
		outcome: notStored, retryable: true, wait: time.Second, rank: 4,
	}
	outcomeLost = &kind{slug: "outcome-unknown", status: 504, title: "The event hub did not answer in time",
		outcome: unknown, retryable: true, rank: 9,
	}
	brokenInside = &kind{slug: "internal-unknown", status: 500, title: "Internal error", outcome: unknown, rank: 9}
)

// kinds are all there are: metrics have a counter for each.
var kinds = [...]*kind{
	noSuchPath, methodNotAllowed, draining, badCredential, unauthorized, uncheckable, overRefused, forbidden, overQuota, overShare, keyInUse, keyUsedForElse,
	unknownHub, badQuery, badHeader, badType, badEncoding, tooLarge, slowBody, brokenBody, badJSON, invalidMessage,
	overloaded, internal, refused, busy, unavailable, expired, outcomeLost, brokenInside,
}

// problem is one failure: of a request, or of one message in a batch.
type problem struct {
	*kind
	detail     string        // what to do; it quotes no key, body or token, and nothing that the target said
	pointer    string        // the place in the body (RFC 6901); "": none in particular, or all of it
	retryAfter time.Duration // when known better than by kind.wait
	challenge  string        // WWW-Authenticate
	allow      string        // Allow
	items      []outcome     // of a batch of which nothing was stored
}

func problemOf(k *kind, detail string) *problem { return &problem{kind: k, detail: detail} }

// details are the members of a problem details object (RFC 9457) with ours: pointer, outcome, retryable, items.
type details struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Detail    string      `json:"detail"`
	Pointer   string      `json:"pointer,omitempty"`
	Instance  string      `json:"instance,omitempty"`
	Outcome   outcomeWord `json:"outcome,omitempty"`
	Retryable bool        `json:"retryable"`
}

// render gives the body of the answer; instance names the occurrence and may be empty.
func (p *problem) render(instance string) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it is for people as well, and is no HTML
	if err := encoder.Encode(details{problemBase + p.slug, p.title, p.status, p.detail, p.pointer, instance, p.outcome, p.retryable}); err != nil {
		panic("BUG: problem details cannot be encoded: " + err.Error())
	}
	body := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if p.items == nil {
		return body
	}
	body = append(body[:len(body)-1], `,"items":`...)
	return append(appendOutcomes(body, p.items), '}')
}

// refuse answers the request with a problem.
func (c *call) refuse(p *problem) {
	h := c.w.Header()
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.kind == badEncoding {
		h.Set("Accept-Encoding", "identity") // RFC 9110, 15.5.16
	}
	c.answer(c.failure(p))
}

// failure is the answer for a problem.
func (c *call) failure(p *problem) answer {
	c.refusedAs = p.kind
	c.askToReturn(p)
	return answer{p.status, problemType, p.render(c.instance())}
}

const problemType = "application/problem+json"

// askToReturn sets Retry-After, with jitter, so that those who were refused together do not return together.
func (c *call) askToReturn(p *problem) {
	wait := max(p.retryAfter, p.wait)
	if wait == 0 {
		return
	}
	seconds := int((wait + time.Second - 1) / time.Second)
	if p.status >= http.StatusInternalServerError {
		seconds += rand.IntN(seconds + 2)
	}
	c.w.Header().Set("Retry-After", strconv.Itoa(seconds))
}
