package jwt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

const keysPath = "/keys"

// onWeb trusts the tests' issuer with keys that are fetched.
func onWeb(w *web) Options {
	return Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, KeysURL: "https://login.example" + keysPath}},
		Rules:   []Rule{sendRule()}, Client: w.client(),
	}
}

// only publishes the keys of those names.
func only(t testing.TB, w *web, names ...string) http.HandlerFunc {
	var keys []string
	for _, name := range names {
		keys = append(keys, jwk(t, keyPairs()[name].Public(), name, ""))
	}
	return w.body(jwks(keys...))
}

// bubble runs a test in which time is free.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Parallel()
	keyPairs()
	synctest.Test(t, f)
}

func tokenOf(t testing.TB, key string) string { return newForge(t, key, "ES256", time.Now()).text() }

func TestFloodOfUnknownKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		forged := newForge(t, "foreign ec", "ES256", time.Now())
		const minutes, perMinute = 5, 240
		looked := 0 // only a token that the issuer was asked for is told that its key does not exist
		for n := range minutes * perMinute {
			forged.header.set("kid", quote(fmt.Sprint("no-", n)))
			_, err := verify(v, forged.text())
			if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Status == 401 && refusal.Reason != UnknownKey {
				t.Fatalf("token %d: %v", n, err)
			} else if refusal.Status == 401 {
				looked++
			}
			time.Sleep(time.Minute / perMinute)
		}
		if n := w.count(keysPath); n < 3 || n > 1+2*minutes || looked >= n {
			t.Errorf("%d fetches in %d minutes and %d answers from them, want some and at most 2 each minute", n, minutes, looked)
		}
		if _, err := verify(v, tokenOf(t, "ec")); err != nil {
			t.Error(err)
		}
	})
}

func TestFloodOfBadSignatures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		forged := newForge(t, "foreign ec", "ES256", time.Now())
		forged.header.set("kid", `"ec"`)
		for n := range 250 {
			forged.claims.set("jti", quote(fmt.Sprint(n)))
			_, err := verify(v, forged.text())
			wantRefused(t, err, 401, BadSignature)
		}
		if n := w.count(keysPath); n != 1 {
			t.Errorf("%d fetches, want the first only", n)
		}
		if s := v.Stats(); s.CacheEntries != 0 || s.Refused[BadSignature] != 250 {
			t.Errorf("%+v", s)
		}
	})
}

// A kid that was looked for is left alone for longer than others.
func TestAbsentKid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		late := tokenOf(t, "second ec")
		for _, step := range []struct {
			wait    time.Duration
			fetches int
		}{{0, 2}, {time.Second, 2}, {askPauseMin, 2}, {absentTime, 3}} {
			time.Sleep(step.wait)
			_, err := verify(v, late)
			wantRefused(t, err, 401, UnknownKey)
			if n := w.count(keysPath); n != step.fetches {
				t.Fatalf("after %v more: %d fetches, want %d", step.wait, n, step.fetches)
			}
		}
		w.serve(only(t, w, "ec", "second ec"))
		time.Sleep(absentTime)
		if _, err := verify(v, late); err != nil {
			t.Error(err)
		}
	})
}

// Clients send without pause while the issuer changes its key, with no overlap and no notice.
func TestRotationUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		slow := func(names ...string) {
			body := only(t, w, names...)
			w.serve(func(rw http.ResponseWriter, r *http.Request) {
				time.Sleep(300 * time.Millisecond)
				body(rw, r)
			})
		}
		slow("ec")
		v := newVerifier(t, onWeb(w))
		var signer atomic.Value
		signer.Store("ec")
		ctx, stop := context.WithCancel(t.Context())
		var accepted, afterwards atomic.Int64
		for range 8 {
			go func() {
				for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
					name := signer.Load().(string)
					if _, err := verify(v, tokenOf(t, name)); err == nil {
						accepted.Add(1)
						if name == "second ec" {
							afterwards.Add(1)
						}
					} else if signer.Load() == name {
						t.Errorf("a token with the current key %s is refused: %v", name, err)
					}
				}
			}()
		}
		time.Sleep(time.Second)
		slow("ec", "second ec")
		signer.Store("second ec")
		time.Sleep(time.Second)
		slow("second ec")
		time.Sleep(time.Minute)
		stop()
		synctest.Wait()
		time.Sleep(time.Second)
		if accepted.Load() < 1000 || afterwards.Load() < 1000 {
			t.Errorf("%d accepted, %d of them after the change", accepted.Load(), afterwards.Load())
		}
		if n := w.count(keysPath); n > 3 {
			t.Errorf("%d fetches", n)
		}
	})
}

// A load that began before the key was published does not bring it, and one more is made for it.
func TestKeyPublishedDuringLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		before := only(t, w, "ec")
		w.serve(before)
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		w.serve(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			before(rw, r)
		})
		v.issuers[issuerURL].keys.due()
		synctest.Wait()
		w.serve(only(t, w, "second ec"))
		if _, err := verify(v, tokenOf(t, "second ec")); err != nil {
			t.Error(err)
		}
	})
}

// hooked is a clock that does something once, when it is next asked.
type hooked struct {
	clock.Clock
	hook func()
}

func (h *hooked) Now() time.Time {
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook()
	}
	return h.Clock.Now()
}

// sets is a source that gives one set after the other.
type sets []*keySet

func (s *sets) load(context.Context) (*keySet, time.Duration, error) {
	next := (*s)[0]
	*s = (*s)[1:]
	return next, freshDefault, nil
}

// A load that ends after a request has looked at the old set, and before it asks for another load, is not missed.
func TestLoadEndsBetweenLookAndAsk(t *testing.T) {
	t.Parallel()
	setOf := func(name string) *keySet {
		set, err := parseJWKS(jwks(jwk(t, keyPairs()[name].Public(), name, "")), []string{"ES256"})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	c := &hooked{Clock: clock.System}
	r := &keyring{
		source: &sets{setOf("second ec")}, clock: c, log: slog.New(slog.DiscardHandler), changed: func() {}, wake: make(chan struct{}, 1),
		asked: time.Now(), timer: clock.System.AfterFunc(time.Hour, func() {}),
	}
	defer r.stop()
	if err := r.adopt(setOf("ec"), time.Now()); err != nil {
		t.Fatal(err)
	}
	c.hook = func() {
		r.due()
		<-r.wake
		r.load(t.Context())
	}
	if set, err := r.find(t.Context(), "second ec"); err != nil || len(set.keys("second ec")) != 1 {
		t.Errorf("%v %v", set, err)
	}
}

func TestIssuerDownAtStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		if err := v.Ready(); err == nil || !strings.Contains(err.Error(), issuerURL) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("Ready: %v", err)
		}
		for range 100 {
			_, err := verify(v, tokenOf(t, "ec"))
			e := wantRefused(t, err, 503, NoKeys)
			if e.RetryAfter < time.Second || e.RetryAfter > 3*time.Second || e.Challenge("evhub") != "" || !strings.Contains(e.Err.Error(), "refused") {
				t.Fatalf("%+v", e)
			}
		}
		if n := w.count(keysPath); n != 1 {
			t.Errorf("%d fetches: requests must not make more", n)
		}
		time.Sleep(time.Hour)
		if n := w.count(keysPath); n < 50 || n > 70 {
			t.Errorf("%d fetches in an hour, want about one a minute", n)
		}
		w.serve(only(t, w, "ec"))
		time.Sleep(retryMax + retryMax/10)
		if err := v.Ready(); err != nil {
			t.Error(err)
		}
		if _, err := verify(v, tokenOf(t, "ec")); err != nil {
			t.Error(err)
		}
	})
}

func TestIssuerDownLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		loaded := time.Now()
		w.serve(nil)
		for time.Since(loaded) < setAgeMax {
			if _, err := verify(v, tokenOf(t, "ec")); err != nil {
				t.Fatalf("after %v: %v", time.Since(loaded), err)
			}
			time.Sleep(10 * time.Minute)
		}
		// A key that is not known may be the issuer's newest, which nobody can say now.
		_, err := verify(v, tokenOf(t, "second ec"))
		wantRefused(t, err, 503, NoKeys)
		if s := v.Stats().Issuers[0]; s.Keys != 1 || s.Age < 24*time.Hour || s.LoadFailures < 24*50 || s.Loads != s.LoadFailures+1 {
			t.Errorf("%+v", s)
		}

		// A token that is remembered dies with the keys as well.
		time.Sleep(time.Second)
		_, err = verify(v, tokenOf(t, "ec"))
		wantRefused(t, err, 503, NoKeys)
		time.Sleep(time.Hour)
		_, err = verify(v, tokenOf(t, "ec"))
		wantRefused(t, err, 503, NoKeys)
		if err := v.Ready(); err != nil {
			t.Errorf("Ready: %v: one issuer must not stop the service", err)
		}
		w.serve(only(t, w, "ec"))
		time.Sleep(retryMax + retryMax/10)
		if _, err := verify(v, tokenOf(t, "ec")); err != nil {
			t.Error(err)
		}
	})
}

func TestRememberedTokenDiesWithOldKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		w.serve(nil)
		time.Sleep(setAgeMax - time.Minute)
		token := tokenOf(t, "ec")
		if _, err := verify(v, token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Nanosecond)
		_, err := verify(v, token)
		wantRefused(t, err, 503, NoKeys)
	})
}

func TestKeyRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec", "second ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		time.Sleep(freshDefault - time.Second)
		token := tokenOf(t, "ec")
		if _, err := verify(v, token); err != nil {
			t.Fatal(err)
		}
		w.serve(only(t, w, "second ec"))
		if _, err := verify(v, token); err != nil {
			t.Fatalf("before the next look: %v", err)
		}
		time.Sleep(2*time.Second + freshDefault/10) // the token would be remembered for longer
		_, err := verify(v, token)
		wantRefused(t, err, 401, UnknownKey)
		if s := v.Stats(); s.CacheEntries != 0 || s.CacheHits != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAllKeysRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		w.serve(only(t, w))
		time.Sleep(2 * freshDefault)
		_, err := verify(v, tokenOf(t, "ec"))
		wantRefused(t, err, 401, UnknownKey)
	})
}

// While the issuer is silent, requests with known keys do not notice, others wait no longer than their context, and the fetch itself ends.
func TestSilentIssuer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		w.serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		waits := make(chan error, 2)
		go func() {
			_, err := v.Verify(ctx, []string{"Bearer " + tokenOf(t, "second ec")})
			waits <- err
		}()
		synctest.Wait()
		if _, err := verify(v, tokenOf(t, "ec")); err != nil || time.Since(start) != 0 {
			t.Errorf("known key: %v after %v", err, time.Since(start))
		}
		if e := wantRefused(t, <-waits, 503, NoKeys); !errors.Is(e, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		_, err := verify(v, tokenOf(t, "second ec"))
		wantRefused(t, err, 503, NoKeys)
		if took := time.Since(start); took != fetchTimeMax {
			t.Errorf("the fetch took %v", took)
		}
	})
}

func TestCloseEndsWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		v := newVerifier(t, onWeb(w))
		waits := make(chan error)
		go func() {
			_, err := verify(v, tokenOf(t, "ec"))
			waits <- err
		}()
		synctest.Wait()
		start := time.Now()
		v.Close()
		wantRefused(t, <-waits, 503, NoKeys)
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

// At the start requests wait for the first load instead of failing.
func TestFirstLoadIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		body := only(t, w, "ec")
		w.serve(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			body(rw, r)
		})
		v := newVerifier(t, onWeb(w))
		if err := v.Ready(); err == nil || !strings.Contains(err.Error(), "being fetched") {
			t.Errorf("Ready: %v", err)
		}
		if _, err := verify(v, tokenOf(t, "ec")); err != nil {
			t.Error(err)
		}
	})
}

func TestKeyFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.json")
		write := func(data []byte) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k := keyPairs()
		write(jwks(jwk(t, k["ec"].Public(), "ec", "")))
		o := Options{Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, KeysFile: path}}, Rules: []Rule{sendRule()}}
		v := newVerifier(t, o)
		token := tokenOf(t, "ec")
		if _, err := verify(v, token); err != nil || v.Ready() != nil {
			t.Fatal(err, v.Ready())
		}
		write(jwks(jwk(t, k["second ec"].Public(), "second ec", "")))
		time.Sleep(2 * freshFile)
		_, err := verify(v, token)
		wantRefused(t, err, 401, UnknownKey)
		write([]byte("half a fi"))
		time.Sleep(2 * freshFile)
		if _, err := verify(v, tokenOf(t, "second ec")); err != nil {
			t.Error(err)
		}

		o.Issuers[0].KeysFile = path + ".not"
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "Issuers[0].KeysFile") {
			t.Errorf("missing file: %v", err)
		}
	})
}

// TestGenuineBehindForged: a forged token has used up the look at the source; a genuine one whose key is new since then is not refused for it.
func TestGenuineBehindForged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(nil)
		w.serve(only(t, w, "ec"))
		v := newVerifier(t, onWeb(w))
		synctest.Wait()
		forged := newForge(t, "foreign ec", "ES256", time.Now())
		forged.header.set("kid", `"no"`)
		_, err := verify(v, forged.text())
		wantRefused(t, err, 401, UnknownKey)
		w.serve(only(t, w, "ec", "second ec"))
		genuine := tokenOf(t, "second ec")
		_, err = verify(v, genuine)
		if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Status != 503 || refusal.RetryAfter <= 0 {
			t.Fatalf("before the issuer may be asked again: %v", err)
		}
		time.Sleep(askPauseMin)
		if _, err := verify(v, genuine); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

// Keys that are given say so only to those who look closely; fetched ones are news.
func TestLevelOfLoading(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys []byte
		want string
	}{
		{"given", publicSet(t), "DEBUG"},
		{"fetched", nil, "INFO"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWeb(nil)
				w.serve(only(t, w, "ec"))
				o := onWeb(w)
				if o.Issuers[0].Keys = tt.keys; tt.keys != nil {
					o.Issuers[0].KeysURL = ""
				}
				var log bytes.Buffer
				o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				newVerifier(t, o)
				synctest.Wait()
				if said := log.String(); !strings.Contains(said, "level="+tt.want+` msg="keys of an issuer are loaded"`) {
					t.Errorf("the log: %s", said)
				}
			})
		})
	}
}
