package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/gateway"
)

const tokenIssuer = "https://login.example/"

// mint makes a token of the tests' issuer.
func mint(t *testing.T, key ed25519.PrivateKey, scope string) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now().Unix()
	text := part(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "1"}) + "." + part(map[string]any{
		"iss": tokenIssuer, "aud": "api://events", "sub": "svc-7", "client_id": "shop", "jti": "token-1", "scope": scope, "iat": now, "exp": now + 600,
	})
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

// newIssuer gives the key of the tests' issuer, and a verifier that trusts it and lets each of its callers send at a rate.
func newIssuer(t *testing.T, rate float64) (ed25519.PrivateKey, *jwt.Verifier) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	v, err := jwt.New(jwt.Options{
		Issuers: []jwt.Issuer{{URL: tokenIssuer, Audiences: []string{"api://events"}, Keys: fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":%q}]}`, x)}},
		Rules:   []jwt.Rule{{Issuer: tokenIssuer, Kind: jwt.Any, Claim: "scope", Value: "events.send", Hubs: []string{"orders"}, Actions: []jwt.Action{jwt.Send}, Rate: rate}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return key, v
}

// TestTokens goes the whole way with real tokens. Time stands still meanwhile, and so does the quota.
func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testTokens)
}

func testTokens(t *testing.T) {
	key, v := newIssuer(t, 3)
	var audit bytes.Buffer
	g := start(t, &target{}, func(o *gateway.Options) {
		o.Tokens, o.Audit = gateway.JWT(v), slog.New(slog.NewJSONHandler(&audit, nil))
	})
	good := "Authorization: Bearer " + mint(t, key, "events.send")
	for _, row := range []struct {
		name      string
		path      string
		header    string
		status    int
		challenge string // what WWW-Authenticate begins with
	}{
		{"good", "", good, 201, ""},
		{"other hub", "/v1/hubs/alerts/messages", good, 403, `Bearer realm="evhub", error="insufficient_scope"`},
		{"no scope", "", "Authorization: Bearer " + mint(t, key, "other"), 403, `Bearer realm="evhub", error="insufficient_scope"`},
		{"none", "", "Authorization: -", 401, `Bearer realm="evhub"`},
		{"forged", "", "Authorization: Bearer " + mint(t, ed25519.NewKeyFromSeed(make([]byte, 32)), "events.send"), 401, `Bearer realm="evhub", error="invalid_token"`},
		{"second", "", good, 201, ""},
		{"third", "", good, 201, ""},
		{"over quota", "", good, 429, ""},
	} {
		a := keep(t, g, request(row.path, "x", row.header))
		if a.status != row.status || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), row.challenge) {
			t.Errorf("%s: got %d, %q: %s", row.name, a.status, a.header.Get("WWW-Authenticate"), a.body)
		}
	}
	if two := keep(t, g, request("", "x", good, "Authorization: +")); two.status != 400 {
		t.Errorf("two credentials: got %d %s", two.status, two.body)
	}
	if !strings.Contains(audit.String(), `"token_id":"token-1"`) || strings.Contains(audit.String(), "svc-7") {
		t.Errorf("audited %s", audit.String())
	}
}

// TestProtocols publishes over a real connection with each version of HTTP.
func TestProtocols(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		s := &target{}
		g := start(t, s, nil)
		server := httptest.NewUnstartedServer(nil)
		server.Config = g.Server()
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		t.Cleanup(server.Close)
		client := server.Client()
		if version == 1 {
			client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		for _, body := range []io.Reader{strings.NewReader("x"), unannounced{strings.NewReader(strings.Repeat("y", 300_000))}} {
			r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v1/hubs/orders/messages", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer anna")
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if a := read(t, res); a.status != 201 || res.ProtoMajor != version {
				t.Errorf("HTTP/%d: got %d %s", res.ProtoMajor, a.status, a.body)
			}
		}
		if got := s.messages(); len(got) != 2 || len(got[1].Body) != 300_000 {
			t.Errorf("HTTP/%d: %d messages", version, len(got))
		}
	}
}
