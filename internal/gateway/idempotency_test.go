package gateway_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/notify"
)

// TestIDs wants each kind of id where it belongs, and the same again only where that is promised.
func TestIDs(t *testing.T) {
	t.Parallel()
	const event = `{"specversion":"1.0","id":"%s","source":"%s","type":"t"}`
	uuid := func(version int) string {
		return fmt.Sprintf("^[0-9a-f]{8}-[0-9a-f]{4}-%d[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", version)
	}
	s := &target{}
	post := func(path, body string, headers ...string) string {
		t.Helper()
		g := start(t, s, nil) // a new one each time, as another replica would be
		if a := keep(t, g, request(path, body, headers...)); a.status != 201 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		got := s.messages()
		return got[len(got)-1].ID
	}
	anna, bert := "Authorization: Bearer anna", "Authorization: Bearer bert"
	base := post("", "x", anna, "Idempotency-Key: k")
	event1 := post("", fmt.Sprintf(event, "1", "/s"), anna, asEvent)
	for _, row := range []struct {
		name    string
		got     string
		pattern string
		like    string
		same    bool
	}{
		{"random", post("", "x", anna), uuid(7), post("", "x", anna), false},
		{"from key", base, uuid(8), post("", "x", anna, `Idempotency-Key: "k"`), true},
		{"from key, other body", post("", "y", anna, "Idempotency-Key: k"), uuid(8), base, true},
		{"from key, other caller", post("", "x", bert, "Idempotency-Key: k"), uuid(8), base, false},
		{"from key, other hub", post("/v1/hubs/alerts/messages", "x", anna, "Idempotency-Key: k"), uuid(8), base, false},
		{"from key, first of a batch", post(":batch", `{"items":[{"body":1}]}`, anna, asJSON, "Idempotency-Key: k"), uuid(8), base, true},
		{"from key, second of a batch", post(":batch", `{"items":[{"body":1},{"body":1}]}`, anna, asJSON, "Idempotency-Key: k"), uuid(8), base, false},
		{"own", post(":batch", `{"items":[{"body":1,"id":"mine"}]}`, anna, asJSON, "Idempotency-Key: k"), "^mine$", "mine", true},
		{"from event", event1, uuid(8), post("", "", anna, "Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: /s", "Ce-Type: u"), true},
		{"from event, other source", post("", fmt.Sprintf(event, "1", "/z"), anna, asEvent), uuid(8), event1, false},
		{"from event, other id", post("", fmt.Sprintf(event, "2", "/s"), anna, asEvent), uuid(8), event1, false},
		{"from event, other caller", post("", fmt.Sprintf(event, "1", "/s"), bert, asEvent), uuid(8), event1, false},
		{"from event, parts shifted", post("", fmt.Sprintf(event, "s1", "/"), anna, asEvent), uuid(8), event1, false},
		{"event with a key", post("", fmt.Sprintf(event, "1", "/s"), anna, asEvent, "Idempotency-Key: k"), uuid(8), base, true},
	} {
		if !regexp.MustCompile(row.pattern).MatchString(row.got) {
			t.Errorf("%s: %q does not match %s", row.name, row.got, row.pattern)
		}
		if (row.got == row.like) != row.same {
			t.Errorf("%s: %q and %q, want the same: %v", row.name, row.got, row.like, row.same)
		}
	}
}

// TestReplay sends a first request with a key and then a second.
func TestReplay(t *testing.T) {
	t.Parallel()
	const key = "Idempotency-Key: k"
	for _, row := range []struct {
		name    string
		first   []string // path, body, headers
		second  []string
		status  int
		replay  bool
		problem string
	}{
		{"the same", []string{"", "x", key}, []string{"", "x", key}, 201, true, ""},
		{"the same, key in quotes", []string{"", "x", key}, []string{"", "x", `Idempotency-Key: "k"`}, 201, true, ""},
		{"other trace", []string{"", "x", key}, []string{"", "x", key, "Traceparent: " + parent}, 201, true, ""},
		{"headers in other order", []string{"", "x", key, "Message-Property-A: 1", "Message-Property-B: 2"}, []string{"", "x", "Message-Property-B: 2", "Message-Property-A: 1", key}, 201, true, ""},
		{"events", []string{"", "x", key, "Ce-Id: 1", "Ce-Source: s", "Ce-Type: t", "Ce-Specversion: 1.0"}, []string{"", "x", "Ce-Type: t", "Ce-Source: s", "Ce-Id: 1", "Ce-Specversion: 1.0", key}, 201, true, ""},
		{"other key", []string{"", "x", key}, []string{"", "x", "Idempotency-Key: K"}, 201, false, ""},
		{"other caller", []string{"", "x", key}, []string{"", "x", key, "Authorization: Bearer bert"}, 201, false, ""},
		{"other hub", []string{"", "x", key}, []string{"/v1/hubs/alerts/messages", "x", key}, 201, false, ""},
		{"other body", []string{"", "x", key}, []string{"", "y", key}, 422, false, "idempotency-key-reused"},
		{"other type", []string{"", "1", key}, []string{"", "1", key, asJSON}, 422, false, "idempotency-key-reused"},
		{"other partition key", []string{"", "1", key}, []string{"", "1", key, "Partition-Key: a"}, 422, false, "idempotency-key-reused"},
		{"other property", []string{"", "1", key, "Message-Property-A: 1"}, []string{"", "1", key, "Message-Property-A: 2"}, 422, false, "idempotency-key-reused"},
		{"other attribute", []string{"", "x", key, "Ce-Id: 1", "Ce-Source: s", "Ce-Type: t", "Ce-Specversion: 1.0"}, []string{"", "x", key, "Ce-Id: 2", "Ce-Source: s", "Ce-Type: t", "Ce-Specversion: 1.0"}, 422, false, "idempotency-key-reused"},
		{"other path", []string{"", `{"items":[{"body":1}]}`, key, asJSON}, []string{":batch", `{"items":[{"body":1}]}`, key, asJSON}, 422, false, "idempotency-key-reused"},
		{"batch", []string{":batch", `{"items":[{"body":1},{}]}`, key, asJSON}, []string{":batch", `{"items":[{"body":1},{}]}`, key, asJSON}, 207, true, ""},
		{"batch of mistakes", []string{":batch", `{"items":[{}]}`, key, asJSON}, []string{":batch", `{"items":[{}]}`, key, asJSON}, 422, true, "invalid-message"},
		{"refused before it was sent", []string{"", `{`, key, asJSON}, []string{"", `{}`, key, asJSON}, 201, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := &target{}
			g := start(t, s, nil)
			first := serve(t, g, request(row.first[0], row.first[1], row.first[2:]...))
			before := len(s.messages())
			second := serve(t, g, request(row.second[0], row.second[1], row.second[2:]...))
			if second.status != row.status || second.problem() != row.problem {
				t.Fatalf("got %d %s", second.status, second.body)
			}
			if got := second.header.Get("Idempotency-Replayed") == "true"; got != row.replay {
				t.Errorf("replayed: %v, want %v", got, row.replay)
			}
			if row.replay && (second.body != first.body || len(s.messages()) != before) {
				t.Errorf("replay %s of %s, with %d new messages", second.body, first.body, len(s.messages())-before)
			}
		})
	}
}

// TestRetryOfFailure wants failures that may pass to be tried again, with the same id, and the others to be given again.
func TestRetryOfFailure(t *testing.T) {
	t.Parallel()
	for reason := notify.Internal; reason <= notify.Unknown; reason++ {
		t.Run(reason.String(), func(t *testing.T) {
			t.Parallel()
			var ids []string
			s := &target{}
			s.say = func(m *notify.Message) notify.Result {
				if ids = append(ids, m.ID); len(ids) == 1 {
					return failing(reason, "text")(m)
				}
				return notify.Result{}
			}
			g := start(t, s, nil)
			first := keep(t, g, request("", "x", "Idempotency-Key: k"))
			second := keep(t, g, request("", "x", "Idempotency-Key: k"))
			if reason == notify.Invalid || reason == notify.TooLarge {
				if len(ids) != 1 || second.body != first.body || second.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("sent %d times, then got %d %s", len(ids), second.status, second.body)
				}
				return
			}
			if len(ids) != 2 || ids[0] != ids[1] || second.status != 201 {
				t.Errorf("sent as %q, then got %d %s", ids, second.status, second.body)
			}
		})
	}
}

// TestRetryOfPart wants a repetition of a batch to send only what is not stored.
func TestRetryOfPart(t *testing.T) {
	t.Parallel()
	broken := true
	s := &target{}
	s.say = func(m *notify.Message) notify.Result {
		if broken && string(m.Body) != "1" {
			return failing(notify.Busy, "")(m)
		}
		return notify.Result{Placed: true, Partition: "0", Sequence: int64(len(s.kept))}
	}
	g := start(t, s, nil)
	send := func() reply {
		return keep(t, g, request(":batch", `{"items":[{"body":0},{"body":1},{"body":2}]}`, asJSON, "Idempotency-Key: k"))
	}
	first := send()
	broken = false
	second, third := send(), send()
	if !slices.Equal(first.items(), []int{503, 201, 503}) || first.status != 207 {
		t.Errorf("first: %s", first.body)
	}
	if second.status != 201 || !slices.Equal(second.items(), []int{201, 201, 201}) || third.body != second.body {
		t.Errorf("second: %s\nthird: %s", second.body, third.body)
	}
	var bodies []string
	for _, m := range s.messages() {
		bodies = append(bodies, string(m.Body))
	}
	if got := strings.Join(bodies, " "); got != "1 0 2" {
		t.Errorf("stored %s, want 1 0 2", got)
	}
}

// TestKeyInUse wants 409 while the first request is under way, and its answer afterwards. The first one's client has left.
func TestKeyInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{hold: make(chan struct{})}
		g := start(t, s, nil)
		ctx, leave := context.WithCancel(t.Context())
		go serve(t, g, request("", "x", "Idempotency-Key: k").WithContext(ctx))
		synctest.Wait()
		if a := serve(t, g, request("", "x", "Idempotency-Key: k")); a.status != 409 || a.problem() != "idempotency-key-in-use" || a.header.Get("Retry-After") != "1" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		leave()
		synctest.Wait()
		close(s.hold)
		synctest.Wait()
		if a := serve(t, g, request("", "x", "Idempotency-Key: k")); a.status != 201 || a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if n := len(s.messages()); n != 1 {
			t.Errorf("%d messages stored, want 1", n)
		}
	})
}

// TestKeyAfterPanic wants the key of a request that ended in a panic to be free again, and its messages not to be called stored.
func TestKeyAfterPanic(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	s := &target{say: func(*notify.Message) notify.Result {
		if sent.Add(1) == 1 {
			panic("BUG: for the test")
		}
		return notify.Result{}
	}}
	g := start(t, &target{}, func(o *gateway.Options) { o.Routes["orders"] = gateway.Route{Notifier: unlocked{s}} })
	if a := keep(t, g, request("", "x", "Idempotency-Key: k")); a.status != 500 || a.problem() != "internal-unknown" || a.json["outcome"] != "unknown" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := keep(t, g, request("", "x", "Idempotency-Key: k")); a.status != 201 || a.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// TestKeysAreForgotten by age, number and size.
func TestKeysAreForgotten(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(*gateway.Limits)
		others int
		after  time.Duration
		replay bool
	}{
		{"young", func(*gateway.Limits) {}, 10, 24*time.Hour - 1, true},
		{"old", func(*gateway.Limits) {}, 0, 24 * time.Hour, false},
		{"few", func(l *gateway.Limits) { l.IdempotencyKeysMax = 11 }, 10, 0, true},
		{"many", func(l *gateway.Limits) { l.IdempotencyKeysMax = 10 }, 10, 0, false},
		{"small", func(l *gateway.Limits) { l.IdempotencyBytesMax = 11*750 + 500 }, 10, 0, true},
		{"large", func(l *gateway.Limits) { l.IdempotencyBytesMax = 10*576 + 256 }, 10, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := start(t, &target{}, func(o *gateway.Options) { row.change(&o.Limits) })
				serve(t, g, request("", "x", "Idempotency-Key: k"))
				for i := range row.others {
					serve(t, g, request("", "x", fmt.Sprint("Idempotency-Key: other-", i)))
				}
				time.Sleep(row.after)
				a := serve(t, g, request("", "x", "Idempotency-Key: k"))
				if got := a.header.Get("Idempotency-Replayed") == "true"; got != row.replay {
					t.Errorf("replayed: %v, want %v", got, row.replay)
				}
			})
		})
	}
}

// TestKeysOfOneCallerDoNotCrowdOut wants a full store to forget keys of those who hold more than their share.
func TestKeysOfOneCallerDoNotCrowdOut(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gateway.Limits){
		"by number": func(l *gateway.Limits) { l.IdempotencyKeysMax = 20 },
		"by size":   func(l *gateway.Limits) { l.IdempotencyBytesMax = 20 * 750 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, &target{}, func(o *gateway.Options) { change(&o.Limits) })
			post := func(who string, i int) bool {
				a := keep(t, g, request("", "x", "Authorization: Bearer "+who, fmt.Sprint("Idempotency-Key: ", i)))
				return a.header.Get("Idempotency-Replayed") == "true"
			}
			for i := range 60 { // for twenty of anna's one of bert's
				post("anna", i)
				if i%20 == 0 {
					post("bert", i)
				}
			}
			for i := 0; i < 60; i += 20 {
				if !post("bert", i) {
					t.Errorf("bert's key %d is forgotten", i)
				}
			}
			if !post("anna", 59) || post("anna", 0) {
				t.Error("anna's last key is forgotten, or her first is not")
			}
		})
	}
}

// TestKeyOfSlowReader wants the key of a request to be settled when its messages are, though its client does not read the answer.
func TestKeyOfSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{}
		g := start(t, s, nil)
		body := `{"items":[` + strings.Repeat(`{"body":1},`, 499) + `{"body":1}]}` // the answer is more than net/http holds back
		w := dial(t, listen(t, g))
		w.send("POST /v1/hubs/orders/messages:batch HTTP/1.1\nHost: h\nAuthorization: Bearer anna\nContent-Type: application/json\nIdempotency-Key: k\n" +
			fmt.Sprintf("Content-Length: %d\n\n", len(body)) + body)
		synctest.Wait()
		wantMetric(t, g, "evhub_gateway_requests_in_flight 1") // it is writing
		a := serve(t, g, request(":batch", body, asJSON, "Idempotency-Key: k"))
		if a.status != 201 || a.header.Get("Idempotency-Replayed") != "true" || len(s.messages()) != 500 {
			t.Errorf("got %d %.200s with %d messages", a.status, a.body, len(s.messages()))
		}
		if first := w.answer(); first.body != a.body {
			t.Error("the first answer is another")
		}
	})
}
