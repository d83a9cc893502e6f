package gateway_test

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/gateway"
)

// TestRefusedTokensSlowTheirSource floods from one address with forged tokens. Time stands still but for what the test sleeps.
func TestRefusedTokensSlowTheirSource(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		peer, forward string // of the flood; forward: X-Forwarded-For
		near          []string
		others        []string // peer, or peer and what it forwards
	}{
		{"direct", "203.0.113.9:1", "", []string{"203.0.113.9:2"}, []string{"203.0.113.10:1"}},
		{"behind a trusted proxy", "10.0.0.1:1", "203.0.113.9", []string{"10.0.0.2:1 203.0.113.9"}, []string{"10.0.0.1:1 203.0.113.10", "10.0.0.1:1"}},
		{"behind another proxy", "192.0.2.1:1", "203.0.113.9", []string{"192.0.2.1:1 203.0.113.10"}, []string{"192.0.2.2:1 203.0.113.9"}},
		{"IPv6", "[2001:db8:0:1::1]:1", "", []string{"[2001:db8:0:1:ff::2]:1"}, []string{"[2001:db8:0:2::1]:1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				key, v := newIssuer(t, 0)
				g := start(t, &target{}, func(o *gateway.Options) {
					o.Tokens, o.RefusalsPerSecond = gateway.JWT(v), 20
					o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
				})
				post := func(from, token string) reply {
					t.Helper()
					peer, forward, _ := strings.Cut(from, " ")
					r := request("", "x", "Authorization: Bearer "+token)
					if r.RemoteAddr = peer; forward != "" {
						r.Header.Set("X-Forwarded-For", forward)
					}
					return keep(t, g, r)
				}
				want := func(what, from, token string, status int) {
					t.Helper()
					if a := post(from, token); a.status != status || status == 429 && (a.problem() != "too-many-refused-tokens" || a.header.Get("Retry-After") != "1") {
						t.Errorf("%s from %s: got %d %v %s, want %d", what, from, a.status, a.header, a.body, status)
					}
				}
				flood := row.peer + " " + row.forward
				number, stranger := 0, ed25519.NewKeyFromSeed(make([]byte, 32))
				forge := func() string { // another one each time
					number++
					return mint(t, stranger, "events.send "+strconv.Itoa(number))
				}
				forged := forge()
				known := mint(t, key, "events.send")
				want("a first token", flood, known, 201)
				for range 100 {
					want("a forged token, again and again", flood, forged, 401)
				}
				for range 20 {
					want("another forged token", flood, forge(), 401)
				}
				want("a good token, new", flood, mint(t, key, "events.send new"), 201)
				for range 4 {
					want("a forged token that is looked at anyway", flood, forge(), 401)
				}
				for range 100 {
					want("one more", flood, forge(), 429)
				}
				want("a token that was let in before", flood, known, 201)
				want("a token that was refused before", flood, forged, 401)
				for _, from := range row.near {
					want("a forged token", from, forge(), 429)
					want("a token that was let in before", from, known, 201)
				}
				for _, from := range row.others {
					want("a good token", from, mint(t, key, "events.send other"), 201)
					want("a forged token", from, forge(), 401)
				}
				time.Sleep(time.Second)
				want("a good token, later", flood, mint(t, key, "events.send later"), 201)
				want("a forged token, later", flood, forge(), 401)
			})
		})
	}
}

// TestWhatSlowsNoSource wants no bound where none is asked for, and none for what costs nothing or is not the caller's fault.
func TestWhatSlowsNoSource(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, authorization string
		rate                float64
		status              int
	}{
		{"no bound", "Bearer forged", 0, 401},
		{"no token", "-", 1, 401},
		{"another scheme", "Basic abc", 1, 401},
		{"keys not there yet", "Bearer later", 1, 503},
		{"no right", "Bearer nobody", 1, 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, v := newIssuer(t, 0)
			g := start(t, &target{}, func(o *gateway.Options) {
				if o.RefusalsPerSecond = row.rate; row.rate == 0 {
					o.Tokens = gateway.JWT(v)
				}
			})
			for range 10 {
				if a := keep(t, g, request("", "x", "Authorization: "+row.authorization)); a.status != row.status {
					t.Fatalf("got %d %s", a.status, a.body)
				}
			}
		})
	}
}

// slowTokens finds a forged token out after a second, as a verifier does that asks the issuer for its key.
type slowTokens struct{ tokens }

func (s slowTokens) Verify(ctx context.Context, authorization []string) (gateway.Principal, error) {
	if strings.HasPrefix(authorization[0], "Bearer forged") {
		time.Sleep(time.Second)
		return nil, &gateway.TokenError{Status: 401, Text: "no such key", TookWork: true}
	}
	return s.tokens.Verify(ctx, authorization)
}

// TestManyRefusedAtOnce wants an honest neighbour not to pay for thousands that were let through together.
func TestManyRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &target{}, func(o *gateway.Options) { o.Tokens, o.RefusalsPerSecond = slowTokens{}, 20 })
		var flood sync.WaitGroup
		for i := range 2000 {
			flood.Go(func() { serve(t, g, request("", "x", "Authorization: Bearer forged"+strconv.Itoa(i))) })
		}
		flood.Wait()
		for i := range 6 { // the last is one too many for what is looked at anyway
			want := 201
			if i == 5 {
				want = 429
			}
			a := keep(t, g, request("", "x", "Authorization: Bearer honest"))
			if a.status != want || want == 429 && a.header.Get("Retry-After") != "1" {
				t.Errorf("%d: got %d, Retry-After %q", i, a.status, a.header.Get("Retry-After"))
			}
		}
		time.Sleep(time.Second)
		for range 10 {
			if a := keep(t, g, request("", "x", "Authorization: Bearer honest")); a.status != 201 {
				t.Errorf("a second later: got %d", a.status)
			}
		}
	})
}
