package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

const audience = "api://events"

// serve runs an issuer as its users do: under a path, behind a mux, on a port of its own.
func serve(t *testing.T, path string) *Issuer {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i, err := New(Options{URL: server.URL + path, Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range i.Patterns() {
		mux.Handle(pattern, i)
	}
	return i
}

func newVerifier(t *testing.T, issuer jwt.Issuer, rules []jwt.Rule) *jwt.Verifier {
	t.Helper()
	v, err := jwt.New(jwt.Options{Issuers: []jwt.Issuer{issuer}, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func verify(t *testing.T, v *jwt.Verifier, token string) *jwt.Principal {
	t.Helper()
	p, err := v.Verify(t.Context(), []string{"Bearer " + token})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allowed gives those of three hubs to which the principal may send.
func allowed(p *jwt.Principal) string {
	var hubs []string
	for _, hub := range []string{"eh1", "orders", "other"} {
		if _, ok := p.Allows(hub, jwt.Send); ok {
			hubs = append(hubs, hub)
		}
	}
	return strings.Join(hubs, " ")
}

func TestRealClient(t *testing.T) {
	t.Parallel()
	i := serve(t, "/issuer")
	v := newVerifier(t, i.Trust(), Rules(i.o.URL))
	for _, tt := range []struct {
		name   string
		client string
		style  oauth2.AuthStyle
		scopes []string
		hubs   string
		scope  string
	}{
		{"Basic", "reporter", oauth2.AuthStyleInHeader, []string{"send:eh1"}, "eh1", "send:eh1"},
		{"form", "reporter", oauth2.AuthStyleInParams, []string{"send:eh1", "send:orders"}, "eh1 orders", "send:eh1 send:orders"},
		{"the client finds out", "reporter", oauth2.AuthStyleAutoDetect, []string{"send:orders", "send:orders"}, "orders", "send:orders"},
		{"all", "reporter", oauth2.AuthStyleInHeader, []string{"send:*"}, "eh1 orders other", "send:*"},
		{"no scope is all", "reporter", oauth2.AuthStyleInHeader, nil, "eh1 orders other", "send:*"},
		{"a client id that must be encoded", `a:b %+/"&=`, oauth2.AuthStyleInHeader, nil, "eh1 orders other", "send:*"},
		{"the same in a form", `a:b %+/"&=`, oauth2.AuthStyleInParams, nil, "eh1 orders other", "send:*"},
		{"longest client id", strings.Repeat("c", clientBytesMax), oauth2.AuthStyleInHeader, nil, "eh1 orders other", "send:*"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := clientcredentials.Config{
				ClientID: tt.client, ClientSecret: DevelopmentSecret, TokenURL: i.o.URL + tokenPath, Scopes: tt.scopes, AuthStyle: tt.style,
			}
			token, err := config.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(token.Expiry); token.Type() != "Bearer" || left < 59*time.Minute || left > time.Hour || token.Extra("scope") != tt.scope {
				t.Errorf("%s token for %v with scope %v", token.Type(), left, token.Extra("scope"))
			}
			p := verify(t, v, token.AccessToken)
			if p.Kind != jwt.App || p.Subject != tt.client || p.Client != tt.client || p.TokenID == "" || p.Issuer != i.o.URL {
				t.Errorf("%+v", p)
			}
			if got := allowed(p); got != tt.hubs {
				t.Errorf("allowed in %q, want %q", got, tt.hubs)
			}
		})
	}
}

// Another process trusts the issuer by its address alone.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/issuer", "/a/b", "", "/issuer/"} {
		t.Run("path "+path, func(t *testing.T) {
			t.Parallel()
			i := serve(t, path)
			v := newVerifier(t, jwt.Issuer{URL: i.o.URL, Audiences: []string{audience}, Insecure: true}, Rules(i.o.URL))
			token, err := Request(t.Context(), http.DefaultClient, i.o.URL, "reporter", "send:orders")
			if err != nil {
				t.Fatal(err)
			}
			if got := allowed(verify(t, v, token)); got != "orders" {
				t.Errorf("allowed in %q", got)
			}
			if err := v.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Metadata are the same wherever a client looks, and say where the rest is.
func TestMetadata(t *testing.T) {
	t.Parallel()
	i := serve(t, "/issuer")
	root := strings.TrimSuffix(i.o.URL, "/issuer")
	var first string
	for _, address := range []string{i.o.URL + openIDPath, i.o.URL + oauthPath, root + oauthPath + "/issuer"} {
		response, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %s %v", address, response.Status, err)
		}
		if first == "" {
			first = string(body)
		}
		if string(body) != first {
			t.Errorf("%s: %s\nwant %s", address, body, first)
		}
	}
	var metadata map[string]any
	if err := json.Unmarshal([]byte(first), &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata["issuer"] != i.o.URL || metadata["jwks_uri"] != i.o.URL+"/jwks" || metadata["token_endpoint"] != i.o.URL+"/token" {
		t.Errorf("%v", metadata)
	}
}

// Two issuers do not take each other's tokens, and no key is published with its private part.
func TestKeysAreOwn(t *testing.T) {
	t.Parallel()
	first, second := serve(t, "/issuer"), serve(t, "/issuer")
	token, err := Request(t.Context(), http.DefaultClient, first.o.URL, "reporter", "")
	if err != nil {
		t.Fatal(err)
	}
	trust := second.Trust()
	trust.URL = first.o.URL
	v := newVerifier(t, trust, Rules(first.o.URL))
	_, err = v.Verify(t.Context(), []string{"Bearer " + token})
	if e, ok := errors.AsType[*jwt.Error](err); !ok || e.Reason != jwt.UnknownKey {
		t.Errorf("%v", err)
	}
	if strings.Contains(string(first.keys), `"d"`) || !strings.Contains(string(first.keys), `"ES256"`) {
		t.Errorf("%s", first.keys)
	}
}

func TestRefusedTokenRequests(t *testing.T) {
	t.Parallel()
	i, err := New(Options{URL: "http://localhost:8080/issuer", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	const form = "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		name        string
		contentType string
		body        string
		basic       string // user and password, encoded as in a form
		status      int
		code        string
	}{
		{"control", form, "grant_type=client_credentials&client_id=a&client_secret=dev", "", 200, ""},
		{"control with Basic", form, "grant_type=client_credentials", "a:dev", 200, ""},
		{"control with the same client_id beside Basic", form, "grant_type=client_credentials&client_id=a", "a:dev", 200, ""},
		{"control with a charset", form + "; charset=utf-8", "grant_type=client_credentials&client_id=a&client_secret=dev", "", 200, ""},
		{"control with what is not known", form, "grant_type=client_credentials&client_id=a&client_secret=dev&resource=x", "", 200, ""},
		{"JSON", "application/json", `{"grant_type":"client_credentials","client_id":"a","client_secret":"dev"}`, "", 400, "invalid_request"},
		{"no type", "", "grant_type=client_credentials&client_id=a&client_secret=dev", "", 400, "invalid_request"},
		{"plain text, as a web page may send", "text/plain", "grant_type=client_credentials&client_id=a&client_secret=dev", "", 400, "invalid_request"},
		{"no body", form, "", "a:dev", 400, "invalid_request"},
		{"broken form", form, "grant_type=%zz", "a:dev", 400, "invalid_request"},
		{"long form", form, "grant_type=client_credentials&client_id=a&client_secret=dev&x=" + strings.Repeat("x", formBytesMax), "", 400, "invalid_request"},
		{"grant twice", form, "grant_type=client_credentials&grant_type=client_credentials", "a:dev", 400, "invalid_request"},
		{"another grant", form, "grant_type=password&client_id=a&client_secret=dev", "", 400, "unsupported_grant_type"},
		{"no grant", form, "client_id=a&client_secret=dev", "", 400, "invalid_request"},
		{"no client", form, "grant_type=client_credentials", "", 401, "invalid_client"},
		{"no secret", form, "grant_type=client_credentials&client_id=a", "", 401, "invalid_client"},
		{"wrong secret", form, "grant_type=client_credentials&client_id=a&client_secret=Dev", "", 401, "invalid_client"},
		{"wrong secret in Basic", form, "grant_type=client_credentials", "a:secret", 401, "invalid_client"},
		{"two secrets", form, "grant_type=client_credentials&client_id=a&client_secret=dev", "a:dev", 400, "invalid_request"},
		{"two clients", form, "grant_type=client_credentials&client_id=b", "a:dev", 400, "invalid_request"},
		{"Basic not encoded", form, "grant_type=client_credentials", "a%zz:dev", 400, "invalid_request"},
		{"client without a name", form, "grant_type=client_credentials", ":dev", 400, "invalid_request"},
		{"client of 129 characters", form, "grant_type=client_credentials", strings.Repeat("a", 129) + ":dev", 400, "invalid_request"},
		{"client with a line end", form, "grant_type=client_credentials", "a%0Ab:dev", 400, "invalid_request"},
		{"client beyond ASCII", form, "grant_type=client_credentials", "%C3%A4:dev", 400, "invalid_request"},
		{"unknown scope", form, "grant_type=client_credentials&scope=send:a+openid", "a:dev", 400, "invalid_scope"},
		{"scope without a hub", form, "grant_type=client_credentials&scope=send:", "a:dev", 400, "invalid_scope"},
		{"scope with a beginning", form, "grant_type=client_credentials&scope=send:a*", "a:dev", 400, "invalid_scope"},
		{"scope with a path", form, "grant_type=client_credentials&scope=send:a/b", "a:dev", 400, "invalid_scope"},
		{"scope with a quote", form, `grant_type=client_credentials&scope=send:"\`, "a:dev", 400, "invalid_scope"},
		{"long scope", form, "grant_type=client_credentials&scope=" + strings.Repeat("send:a+", scopeBytesMax/7+1), "a:dev", 400, "invalid_scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "http://localhost:8080/issuer/token", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			if name, secret, ok := strings.Cut(tt.basic, ":"); ok {
				r.SetBasicAuth(name, secret)
			}
			w := httptest.NewRecorder()
			i.ServeHTTP(w, r)
			var answer map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Header().Get("Cache-Control") != "no-store" {
				t.Fatalf("%s %v %v", w.Body, err, w.Header())
			}
			code, _ := answer["error"].(string)
			if w.Code != tt.status || code != tt.code || (w.Code == 200) != (answer["access_token"] != nil) {
				t.Errorf("%d %v, want %d %s", w.Code, answer, tt.status, tt.code)
			}
			if text, _ := answer["error_description"].(string); tt.status != 200 && (text == "" || strings.ContainsAny(text, "\"\\\r\n")) {
				t.Errorf("description %q", text)
			}
			if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (tt.status == 401) {
				t.Errorf("challenged: %v", challenged)
			}
		})
	}
}

// Secrets in an address would end up in logs, so they are not read there.
func TestNothingIsReadFromTheAddress(t *testing.T) {
	t.Parallel()
	i, err := New(Options{URL: "http://localhost:8080/issuer", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://localhost:8080/issuer/token?grant_type=client_credentials&client_id=a&client_secret=dev", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	i, err := New(Options{URL: "http://localhost:8080/issuer", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, at, host, origin string
		status                 int
	}{
		{"localhost", "127.0.0.1:8080", "localhost:8080", "", 200},
		{"IPv6", "[::1]:8080", "[::1]:8080", "", 200},
		{"another port, forwarded", "127.0.0.1:8080", "LOCALHOST:18080", "", 200},
		{"container's name beyond loopback", "192.0.2.1:8080", "evhub:8080", "", 200},
		{"rebound name", "127.0.0.1:8080", "evil.example:8080", "", 403},
		{"rebound name on IPv6", "[::1]:8080", "evil.example", "", 403},
		{"name that begins like localhost", "127.0.0.1:8080", "localhost.evil.example", "", 403},
		{"no host", "127.0.0.1:8080", "", "", 403},
		{"web page", "127.0.0.1:8080", "localhost:8080", "http://evil.example", 403},
		{"web page without origin", "127.0.0.1:8080", "localhost:8080", "null", 403},
		{"own web page", "127.0.0.1:8080", "localhost:8080", "http://localhost:8080", 403},
		{"web page beyond loopback", "192.0.2.1:8080", "evhub:8080", "http://evil.example", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr, err := net.ResolveTCPAddr("tcp", tt.at)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"a"}, "client_secret": {DevelopmentSecret}}
			for _, r := range []*http.Request{
				httptest.NewRequest("GET", "http://localhost:8080/issuer"+openIDPath, nil),
				httptest.NewRequest("GET", "http://localhost:8080/issuer/jwks", nil),
				httptest.NewRequest("POST", "http://localhost:8080/issuer/token", strings.NewReader(form.Encode())),
			} {
				r.Host = tt.host
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if tt.origin != "" {
					r.Header.Set("Origin", tt.origin)
				}
				w := httptest.NewRecorder()
				i.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr))))
				if w.Code != tt.status || w.Header().Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: %d, want %d", r.URL.Path, w.Code, tt.status)
				}
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	i, err := New(Options{URL: "http://localhost:8080/issuer", Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/issuer/jwks", 200, ""},
		{"HEAD", "/issuer/jwks", 200, ""},
		{"POST", "/issuer/jwks", 405, "GET"},
		{"GET", "/issuer/token", 405, "POST"},
		{"PUT", "/issuer/token", 405, "POST"},
		{"GET", "/jwks", 404, ""},
		{"GET", "/issuer/", 404, ""},
		{"GET", "/issuer/jwks/", 404, ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			i.ServeHTTP(w, httptest.NewRequest(tt.method, "http://localhost:8080"+tt.path, nil))
			if w.Code != tt.status || w.Header().Get("Allow") != tt.allow {
				t.Errorf("%d %q, want %d %q", w.Code, w.Header().Get("Allow"), tt.status, tt.allow)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, url, audience, want string }{
		{"no address", "issuer", "a", "URL"},
		{"another scheme", "ftp://localhost/issuer", "a", "URL"},
		{"query", "http://localhost/issuer?x", "a", "URL"},
		{"no audience", "http://localhost/issuer", "", "Audience"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(Options{URL: tt.url, Audience: tt.audience}); err == nil || !strings.HasPrefix(err.Error(), tt.want+":") {
				t.Errorf("%v", err)
			}
		})
	}
}

// What Request says where it finds no issuer is for people who start evhub in another window.
func TestRequestErrors(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	answering := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	i := serve(t, "/issuer")
	for _, tt := range []struct {
		name, url, client, scope, want string
	}{
		{"nothing there", closed.URL + "/issuer", "a", "", "nothing runs at " + closed.URL + "/issuer; start evhub"},
		{"another server", answering(404, "not found"), "a", "", "is no evhub issuer, or one that was started without it: it answered 404"},
		{"another server that says yes", answering(200, "<html>"), "a", "", "is no evhub issuer"},
		{"JSON of another kind", answering(200, "[]"), "a", "", "is no evhub issuer"},
		{"another issuer", answering(200, `{"issuer":"https://login.example"}`), "a", "", `calls itself "https://login.example"`},
		{"another path", strings.TrimSuffix(i.o.URL, "/issuer"), "a", "", "it answered 404"},
		{"no address", "::", "a", "", "is not an address"},
		{"wrong scope", i.o.URL, "a", "read:orders", "the issuer refused: a scope here is send:<hub>"},
		{"wrong client", i.o.URL, "", "", "the issuer refused: client_id must have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token, err := Request(t.Context(), http.DefaultClient, tt.url, tt.client, tt.scope)
			if token != "" || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q %v, want %q", token, err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Request(ctx, http.DefaultClient, i.o.URL, "a", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
