package jwt

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// site serves documents by path, and 404 elsewhere. A value that begins with a slash or https:// is a redirect.
func site(pages map[string]string) *web {
	return newWeb(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case strings.HasPrefix(page, "/"), strings.HasPrefix(page, "http"):
			http.Redirect(w, r, page, http.StatusFound)
		default:
			w.Write([]byte(page))
		}
	})
}

func TestWhereKeysComeFrom(t *testing.T) {
	t.Parallel()
	set := string(jwks(jwk(t, keyPairs()["ec"].Public(), "ec", "")))
	many := make([]string, setKeysMax+1)
	for i := range many {
		many[i] = `{"kty":"EC"}`
	}
	const (
		openID = "/tenant/.well-known/openid-configuration"
		oauth  = "/.well-known/oauth-authorization-server/tenant"
		tenant = "https://login.example/tenant"
	)
	metadata := func(issuer, keys string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, keys) }
	good := metadata(tenant, "https://keys.example/keys")
	for _, tt := range []struct {
		name    string
		keysURL string // "": discovery
		pages   map[string]string
		want    string // in what Ready says; "": ready
	}{
		{"address", "https://login.example/keys", map[string]string{"/keys": set}, ""},
		{"redirect on the host", "https://login.example/keys", map[string]string{"/keys": "/k2", "/k2": set}, ""},
		{"redirect to another host", "https://login.example/keys", map[string]string{"/keys": "https://evil.example/k2", "/k2": set}, "another host"},
		{"redirect to http", "https://login.example/keys", map[string]string{"/keys": "http://login.example/k2", "/k2": set}, "another host"},
		{"redirects without end", "https://login.example/keys", map[string]string{"/keys": "/keys"}, "too often"},
		{"not found", "https://login.example/keys", nil, "answered 404"},
		{"not JSON", "https://login.example/keys", map[string]string{"/keys": "<html>"}, "not JSON"},
		{"no keys", "https://login.example/keys", map[string]string{"/keys": "{}"}, "no array keys"},
		{"keys not an array", "https://login.example/keys", map[string]string{"/keys": `{"keys":{}}`}, "no array keys"},
		{"keys twice", "https://login.example/keys", map[string]string{"/keys": `{"keys":[],"keys":[]}`}, "two members"},
		{"none to be used", "https://login.example/keys", map[string]string{"/keys": `{"keys":[{"kty":"oct","kid":"a"}]}`}, "no key that can be used"},
		{"PEM", "https://login.example/keys", map[string]string{"/keys": "-----BEGIN PUBLIC KEY-----"}, "not JSON"},
		{"64 keys", "https://login.example/keys", map[string]string{"/keys": string(jwks(append(many[2:], jwk(t, keyPairs()["ec"].Public(), "ec", ""))...))}, ""},
		{"65 keys", "https://login.example/keys", map[string]string{"/keys": string(jwks(many...))}, "65 keys"},
		{"256 KiB", "https://login.example/keys", map[string]string{"/keys": set + strings.Repeat(" ", setBytesMax-len(set))}, ""},
		{"a byte more", "https://login.example/keys", map[string]string{"/keys": set + strings.Repeat(" ", setBytesMax-len(set)+1)}, "more than the 262144 bytes"},
		{"OpenID Connect", "", map[string]string{openID: good, "/keys": set}, ""},
		{"RFC 8414", "", map[string]string{oauth: good, "/keys": set}, ""},
		{"no metadata", "", map[string]string{"/keys": set}, "answered 404"},
		{"another issuer", "", map[string]string{openID: metadata("https://login.example/tenant2", "https://keys.example/keys"), "/keys": set}, "to the letter"},
		{"issuer with a slash", "", map[string]string{openID: metadata(tenant+"/", "https://keys.example/keys"), "/keys": set}, "to the letter"},
		{"no address of keys", "", map[string]string{openID: `{"issuer":"` + tenant + `"}`, "/keys": set}, "no jwks_uri"},
		{"keys over http", "", map[string]string{openID: metadata(tenant, "http://keys.example/keys"), "/keys": set}, "https"},
		{"keys in a file", "", map[string]string{openID: metadata(tenant, "file:///etc/keys"), "/keys": set}, "not an address"},
		{"metadata an array", "", map[string]string{openID: "[]", "/keys": set}, "not a JSON object"},
		{"metadata with issuer and Issuer", "", map[string]string{openID: `{"Issuer":"x",` + good[1:], "/keys": set}, "two members"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := onWeb(site(tt.pages))
				o.Issuers[0].URL, o.Issuers[0].KeysURL, o.Rules[0].Issuer = tenant, tt.keysURL, tenant
				v := newVerifier(t, o)
				synctest.Wait()
				err := v.Ready()
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("Ready: %v, want %q", err, tt.want)
				}
			})
		})
	}
}

// An issuer that moves its keys is found again.
func TestKeysMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pages := map[string]string{
			"/.well-known/openid-configuration": fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://login.example/old"}`, issuerURL),
			"/old":                              string(jwks(jwk(t, keyPairs()["ec"].Public(), "ec", ""))),
		}
		w := site(pages)
		o := onWeb(w)
		o.Issuers[0].KeysURL = ""
		v := newVerifier(t, o)
		synctest.Wait()
		w.serve(site(map[string]string{
			"/.well-known/openid-configuration": fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://login.example/new"}`, issuerURL),
			"/new":                              string(jwks(jwk(t, keyPairs()["second ec"].Public(), "second ec", ""))),
		}).handler)
		time.Sleep(freshDefault + freshDefault/10 + retryMax)
		if _, err := verify(v, tokenOf(t, "second ec")); err != nil {
			t.Error(err)
		}
	})
}

func TestFreshFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cacheControl string
		want         time.Duration
	}{
		{"", 10 * time.Minute},
		{"public", 10 * time.Minute},
		{"max-age=1800", 30 * time.Minute},
		{"Public, Max-Age=1800, must-revalidate", 30 * time.Minute},
		{`max-age="1800"`, 30 * time.Minute},
		{"max-age=0", time.Minute},
		{"max-age=59", time.Minute},
		{"max-age=86400, private", time.Hour},
		{"max-age=99999999999999999999", 10 * time.Minute},
		{"max-age=-1", 10 * time.Minute},
		{"max-age", 10 * time.Minute},
		{"no-store", time.Minute},
		{"no-cache, max-age=1800", time.Minute},
		{"max-age=1800, no-store", time.Minute},
	} {
		t.Run(tt.cacheControl, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if tt.cacheControl != "" {
				header.Set("Cache-Control", tt.cacheControl)
			}
			if got := freshFor(header); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// TestSchedule counts the looks of a day: Cache-Control changes them, within bounds.
func TestSchedule(t *testing.T) {
	for _, tt := range []struct {
		cacheControl string
		min, max     int
	}{
		{"", 24 * 60 / 11, 24 * 6},
		{"max-age=1", 24 * 60 * 10 / 11, 24 * 60},
		{"max-age=999999", 24 * 10 / 11, 24},
	} {
		t.Run(tt.cacheControl, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWeb(nil)
				body := only(t, w, "ec")
				w.serve(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Cache-Control", tt.cacheControl)
					body(rw, r)
				})
				newVerifier(t, onWeb(w))
				time.Sleep(24 * time.Hour)
				if n := w.count(keysPath) - 1; n < tt.min || n > tt.max {
					t.Errorf("%d looks in a day, want %d to %d", n, tt.min, tt.max)
				}
			})
		})
	}
}

// While the metadata cannot be had, keys that change where they were are found, for a day.
func TestKeysChangeWithoutMetadata(t *testing.T) {
	const metadata, keys = "/.well-known/openid-configuration", "/old"
	for _, tt := range []struct {
		name     string
		metadata string // that is served from an hour on; "": none
	}{
		{"none", ""},
		{"of another issuer", `{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}`},
		{"over http", fmt.Sprintf(`{"issuer":%q,"jwks_uri":"http://login.example/keys"}`, issuerURL)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				set := func(name string) string { return string(jwks(jwk(t, keyPairs()[name].Public(), name, ""))) }
				w := site(map[string]string{metadata: fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://login.example/old"}`, issuerURL), keys: set("ec")})
				o := onWeb(w)
				o.Issuers[0].KeysURL = ""
				v := newVerifier(t, o)
				time.Sleep(2 * time.Hour)
				later := map[string]string{keys: set("second ec")}
				if tt.metadata != "" {
					later[metadata] = tt.metadata
				}
				w.serve(site(later).handler)
				time.Sleep(2 * time.Hour)
				if _, err := verify(v, tokenOf(t, "second ec")); err != nil {
					t.Error("a key that came after the metadata were lost:", err)
				}
				_, err := verify(v, tokenOf(t, "ec"))
				wantRefused(t, err, 401, UnknownKey)
				if n := w.count(metadata); n > 4+2*60/10 {
					t.Errorf("the metadata were looked for %d times", n)
				}
				time.Sleep(addressAgeMax)
				before := w.count(keys)
				time.Sleep(time.Hour)
				if n := w.count(keys) - before; n != 0 {
					t.Errorf("%d looks at an address that is more than a day old", n)
				}
				time.Sleep(setAgeMax)
				_, err = verify(v, tokenOf(t, "second ec"))
				wantRefused(t, err, 503, NoKeys)
			})
		})
	}
}
