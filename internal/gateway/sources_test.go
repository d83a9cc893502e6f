package gateway_test

import (
	"crypto/ed25519"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
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
				forged := mint(t, ed25519.NewKeyFromSeed(make([]byte, 32)), "events.send")
				known := mint(t, key, "events.send")
				want("a first token", flood, known, 201)
				for range 21 {
					want("a forged token", flood, forged, 401)
				}
				for range 100 {
					want("one more", flood, forged, 429)
				}
				want("a token that was let in before", flood, known, 201)
				if n := v.Stats().Refused; n[jwt.BadSignature] != 21 {
					t.Errorf("%v were verified", n)
				}
				for _, from := range row.near {
					want("a forged token", from, forged, 429)
					want("a token that was let in before", from, known, 201)
				}
				for _, from := range row.others {
					want("a good token", from, mint(t, key, "events.send other"), 201)
					want("a forged token", from, forged, 401)
				}
				time.Sleep(time.Second)
				want("a good token, later", flood, mint(t, key, "events.send"), 201)
				want("a forged token, later", flood, forged, 401)
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
