package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
)

// problemBase and a sort's slug make the type URI of RFC 9457. They are part of the API: a slug never changes its meaning.
const problemBase = "https://evhub.dev/problems/"

// sort is a sort of failure.
type sort struct {
	slug   string
	status int
	title  string
}

var (
	badRequest       = &sort{"bad-request", 400, "The request cannot be used as it is"}
	unauthorized     = &sort{"unauthorized", 401, "Credential missing or refused"}
	forbidden        = &sort{"forbidden", 403, "Not allowed"}
	notFound         = &sort{"not-found", 404, "Not there"}
	noKit            = &sort{"no-test-kit", 404, "No test kit here"}
	methodNotAllowed = &sort{"method-not-allowed", 405, "Method not allowed"}
	slowBody         = &sort{"slow-body", 408, "The body came too slowly"}
	taken            = &sort{"taken", 409, "The name is taken"}
	conflict         = &sort{"conflict", 409, "Not in this state"}
	stale            = &sort{"stale-mark", 410, "The mark is older than what is kept"}
	gone             = &sort{"gone", 410, "Deleted meanwhile"}
	tooLarge         = &sort{"too-large", 413, "Too large"}
	notJSON          = &sort{"unsupported-content-type", 415, "Content type not taken here"}
	unmet            = &sort{"expectation-failed", 417, "The expectation failed"} // not 408 or 504: some clients and proxies send again on those
	internal         = &sort{"internal", 500, "Internal error"}
	busy             = &sort{"busy", 503, "Busy"}
	closing          = &sort{"draining", 503, "Shutting down"}
	unavailable      = &sort{"unavailable", 503, "Not available"}
	full             = &sort{"full", 507, "No room"}
)

// hallSorts has a row for each kind of the hall's errors.
var hallSorts = map[hub.Kind]*sort{
	hub.Internal:       internal,
	hub.NotFound:       notFound,
	hub.Exists:         taken,
	hub.Invalid:        badRequest,
	hub.OutOfRange:     badRequest,
	hub.Unauthorized:   forbidden,
	hub.Stolen:         conflict,
	hub.EpochTooLow:    conflict,
	hub.EpochExists:    conflict,
	hub.TooManyReaders: conflict,
	hub.PositionBeyond: badRequest,
	hub.TooLarge:       tooLarge,
	hub.Busy:           busy,
	hub.Full:           full,
	hub.Disabled:       conflict,
	hub.Updated:        gone,
	hub.Closed:         closing,
	hub.Unavailable:    unavailable,
}

// problem is why a request is not answered as its sender wished.
type problem struct {
	*sort
	detail  string          // for people: what is wrong, and what to do
	pointer string          // RFC 6901: where in the request, which detail does not repeat; "" is nowhere or everywhere
	more    json.RawMessage // an object with further members; nil: none
	text    string          // for who wants text; "" is detail
	allow   string          // header of that name
}

func (p *problem) Error() string { return p.detail }

func refuse(s *sort, format string, args ...any) *problem {
	return &problem{sort: s, detail: fmt.Sprintf(format, args...)}
}

// problemOf finds the words for an error.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if miss, ok := errors.AsType[*kit.Miss](err); ok {
		return unmetBy(miss)
	}
	if form, ok := errors.AsType[*kit.FormError](err); ok {
		return &problem{sort: badRequest, detail: form.Text, pointer: form.Pointer, text: form.Error()}
	}
	if old, ok := errors.AsType[*kit.StaleError](err); ok {
		return refuse(stale, "%v", old)
	}
	if e, ok := errors.AsType[*hub.Error](err); ok && e.Kind != hub.Internal {
		p := refuse(hallSorts[e.Kind], "%s", e.Text)
		if e.Hint != "" {
			p.detail += " (" + e.Hint + ")"
		}
		return p
	}
	if kind := hub.KindOf(err); kind != hub.Internal {
		return refuse(hallSorts[kind], "%v", err)
	}
	return refuse(internal, "internal error; the broker's log has the cause")
}

// unmetBy has the members of the miss, its first line as the detail.
func unmetBy(miss *kit.Miss) *problem {
	text := miss.Text()
	detail, _, _ := strings.Cut(text, "\n")
	return &problem{sort: unmet, detail: detail, text: text, more: object(miss)}
}

// unmetWith is an expectation that failed; more are members beside ok and text.
func unmetWith(detail, text string, more map[string]any) *problem {
	more["ok"], more["text"] = false, text
	return &problem{sort: unmet, detail: detail, text: text, more: object(more)}
}

// object is a value that becomes a JSON object and can always be encoded. What goes to people who read JSON keeps its < and &.
func object(v any) json.RawMessage {
	if m, ok := v.(json.Marshaler); ok { // the Encoder would go over what it gives once more
		b, err := m.MarshalJSON()
		mustEncode(err)
		return append(b, '\n')
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	mustEncode(e.Encode(v))
	return b.Bytes()
}

func mustEncode(err error) {
	if err != nil {
		panic("BUG: an answer cannot be encoded: " + err.Error())
	}
}

// body is the problem in JSON.
func (p *problem) body() []byte {
	head := object(struct {
		Type    string `json:"type"`
		Title   string `json:"title"`
		Status  int    `json:"status"`
		Detail  string `json:"detail"`
		Pointer string `json:"pointer,omitempty"`
	}{problemBase + p.slug, p.title, p.status, p.detail, p.pointer})
	if p.more == nil {
		return head
	}
	return append(append(bytes.TrimSuffix(head, []byte("}\n")), ','), p.more[1:]...)
}

// fail answers with an error: under /admin/ with a problem (RFC 9457), or with its text for those who want that; elsewhere with text.
func (a *Admin) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.sort == internal {
		a.o.Log.Error("admin request failed", "path", r.URL.Path, "err", err)
	}
	a.o.Log.Debug("admin request refused", "remote", r.RemoteAddr, "path", r.URL.Path, "status", p.status, "pointer", p.pointer, "reason", p.detail)
	h := w.Header()
	switch p.sort {
	case unauthorized:
		h.Set("WWW-Authenticate", `Basic realm="evhub", charset="UTF-8"`)
	case methodNotAllowed:
		h.Set("Allow", p.allow)
	case busy, closing:
		h.Set("Retry-After", "1")
	}
	if !strings.HasPrefix(r.URL.Path, "/admin/") || wantsText(r) {
		text := p.text
		if text == "" {
			text = p.detail
		}
		http.Error(w, text, p.status)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	w.Write(p.body())
}

// wantsText tells whether the sender asks for text and not for JSON.
func wantsText(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return strings.Contains(accept, "text/plain") && !strings.Contains(accept, "json")
}
