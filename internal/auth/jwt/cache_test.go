package jwt

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

func numbered(n int) *digest {
	d := digestOf(fmt.Sprint(n))
	return &d
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c, p := newCache(64), &Principal{}
	whole := entry{principal: p, until: 1 << 62}
	for n := range 10_000 {
		c.put(numbered(n), 0, whole)
		if c.get(numbered(0), time.Unix(1, 0)) == nil {
			t.Fatalf("what is asked for all the time is forgotten at %d", n)
		}
	}
	if n := c.size(); n > 64 || n < 32 {
		t.Errorf("%d entries, want up to 64", n)
	}
	if c.get(numbered(9_999), time.Unix(1, 0)) != p || c.get(numbered(1), time.Unix(1, 0)) != nil {
		t.Error("the newest is forgotten, or the oldest is not")
	}
}

func TestCacheEmptied(t *testing.T) {
	t.Parallel()
	c := newCache(64)
	epoch := c.epoch.Load()
	c.put(numbered(1), epoch, entry{principal: &Principal{}, until: 1 << 62})
	c.empty()
	c.put(numbered(2), epoch, entry{principal: &Principal{}, until: 1 << 62}) // verified with the keys of before
	if n := c.size(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestNoCache(t *testing.T) {
	t.Parallel()
	c := newCache(-1)
	c.put(numbered(1), 0, entry{principal: &Principal{}, until: 1 << 62})
	if n := c.size(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// A remembered token ends when its time ends, not only when the cache forgets it.
func TestRememberedTokenExpires(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ends   time.Duration // exp
		verify time.Duration // the next time at which it must be verified anew or refused
	}{
		{"long token", time.Hour, cacheTimeMax},
		{"short token", 2 * time.Minute, 2*time.Minute + leewayDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := newVerifier(t, Options{
					Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()},
				})
				f := newForge(t, "ec", "ES256", time.Now())
				f.claims.set("exp", stamp(time.Now().Add(tt.ends)))
				token := f.text()
				hits := func() uint64 {
					_, err := verify(v, token)
					if expired := time.Duration(0); err != nil {
						expired = tt.ends + leewayDefault
						if wantRefused(t, err, 401, Expired); tt.verify < expired {
							t.Errorf("expired too early")
						}
					}
					return v.Stats().CacheHits
				}
				hits()
				time.Sleep(tt.verify - 1)
				if n := hits(); n != 1 {
					t.Errorf("%d hits before the end, want 1", n)
				}
				time.Sleep(1)
				if n := hits(); n != 1 {
					t.Errorf("%d hits after the end, want 1", n)
				}
			})
		})
	}
}

// A clock that is set back makes a remembered token one of the future again.
func TestRememberedTokenNotYet(t *testing.T) {
	t.Parallel()
	moving := &still{clock.System, now}
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()}, Clock: moving,
	})
	token := newForge(t, "ec", "ES256", now).text()
	if _, err := verify(v, token); err != nil {
		t.Fatal(err)
	}
	moving.now = now.Add(-leewayDefault)
	if _, err := verify(v, token); err != nil || v.Stats().CacheHits != 1 {
		t.Errorf("%v, %+v", err, v.Stats())
	}
	moving.now = moving.now.Add(-1)
	_, err := verify(v, token)
	wantRefused(t, err, 401, NotYet)
}

func TestStats(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()}, Clock: still{clock.System, now},
	})
	token := newForge(t, "ec", "ES256", now).text()
	for range 3 {
		if _, err := verify(v, token); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		_, err := v.Verify(context.Background(), nil)
		wantRefused(t, err, 401, NoToken)
	}
	s := v.Stats()
	if s.Verified != 3 || s.CacheHits != 2 || s.CacheEntries != 1 || len(s.Refused) != int(NoRight) || s.Refused[NoToken] != 2 || s.Refused[BadSignature] != 0 {
		t.Errorf("%+v", s)
	}
	if len(s.Issuers) != 1 || s.Issuers[0] != (IssuerStats{URL: issuerURL, Keys: 5}) {
		t.Errorf("%+v", s.Issuers)
	}
}

// Verifying, changing keys and reading counts at once, for the race detector.
func TestAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		o := onWeb(w)
		o.CacheEntries = 32
		v := newVerifier(t, o)
		synctest.Wait()
		var running sync.WaitGroup
		for client := range 8 {
			f := newForge(t, "ec", "ES256", time.Now())
			f.claims.set("sub", quote(fmt.Sprint(client)))
			running.Go(func() {
				for n := range 50 {
					f.claims.set("jti", quote(fmt.Sprint(n/2)))
					p, err := verify(v, f.text())
					if err != nil {
						t.Error(err)
					} else if p.Subject != fmt.Sprint(client) {
						t.Errorf("client %d is taken for %s", client, p.Subject)
					}
					v.Stats()
					time.Sleep(time.Second)
				}
			})
		}
		for n := range 10 {
			w.serve(only(t, w, [][]string{{"ec", "second ec"}, {"ec"}}[n%2]...))
			v.issuers[issuerURL].keys.due()
			time.Sleep(time.Second)
		}
		running.Wait()
	})
}

// TestRefusedForGood wants a token that no time will make good to cost a signature's check once, and not each time it comes. Whoever has an
// expired token has as many requests with it as they like.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(f *forge)
		reason Reason
		costs  bool // each time
	}{
		{"forged", func(f *forge) { f.key = keyPairs()["foreign ec"] }, BadSignature, false},
		{"expired", claim("exp", stamp(now.Add(-time.Hour))), Expired, false},
		{"for another service", claim("aud", `"other"`), WrongAudience, false},
		{"of another tenant", claim("tid", `"other"`), WrongTenant, false},
		{"without an end", func(f *forge) { f.claims.remove("exp") }, BadClaim, false},
		{"an ID token", func(f *forge) { f.header.remove("typ"); f.claims.remove("scope") }, WrongType, false},
		{"not yet", claim("nbf", stamp(now.Add(time.Hour))), NotYet, true},
		{"for too long from now", func(f *forge) { f.claims.remove("iat"); f.claims.set("exp", stamp(now.Add(25*time.Hour))) }, TooLong, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			clock := &still{clock.System, now}
			v := newVerifier(t, Options{
				Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t), Tenant: "ours"}}, Rules: []Rule{sendRule()}, Clock: clock,
			})
			f := newForge(t, "ec", "ES256", now)
			f.claims.add("tid", `"ours"`)
			row.change(f)
			header := []string{"Bearer " + f.text()}
			_, err := v.Verify(t.Context(), header)
			wantRefused(t, err, 401, row.reason)
			_, err = v.Remembered(header)
			if row.costs && err != nil || !row.costs && err == nil {
				t.Errorf("remembered: %v", err)
			}
			if err != nil {
				wantRefused(t, err, 401, row.reason)
			}
			clock.now = now.Add(-time.Second) // the clock was wrong, and is set
			if _, err = v.Remembered(header); err != nil {
				t.Errorf("remembered from the future: %v", err)
			}
		})
	}
}
