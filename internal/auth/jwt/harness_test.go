// Short RSA keys are made and used in tests, so that what refuses them is our check.
//
//go:debug rsa1024min=0

package jwt

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/evhub-dev/evhub/internal/clock"
)

const (
	issuerURL = "https://login.example/"
	audience  = "api://events"
)

// keyPairs are made once for all tests: RSA keys take long. The others are the same in every process, as fuzzing needs it.
var keyPairs = sync.OnceValue(func() map[string]crypto.Signer {
	pairs := make(map[string]crypto.Signer)
	for name, bits := range map[string]int{"rsa": 2048, "pss": 2048, "weak": 1024} {
		pairs[name] = made(rsa.GenerateKey(rand.Reader, bits))
	}
	for _, name := range []string{"ec", "second ec", "foreign ec", "encryption"} {
		seed := sha256.Sum256([]byte(name))
		pairs[name] = made(ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:]))
	}
	pairs["p384"] = made(ecdsa.ParseRawPrivateKey(elliptic.P384(), bytes.Repeat([]byte{1}, 48)))
	pairs["ed"] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	return pairs
})

func made[K crypto.Signer](key K, err error) crypto.Signer {
	if err != nil {
		panic(err)
	}
	return key
}

// jwk is a public key as in a set; more members, as JSON, follow.
func jwk(t testing.TB, public crypto.PublicKey, kid, more string) string {
	t.Helper()
	data, err := jose.JSONWebKey{Key: public, KeyID: kid}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "}") + more + "}"
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// publicSet is what the tests' issuer publishes: for each kid the key of that name, and some that are not to be used.
func publicSet(t testing.TB) []byte {
	k := keyPairs()
	return jwks(
		jwk(t, k["rsa"].Public(), "rsa", `,"use":"sig"`),
		jwk(t, k["pss"].Public(), "pss", `,"alg":"PS256"`),
		jwk(t, k["ec"].Public(), "ec", `,"use":"sig","alg":"ES256","x5t":"not a thumbprint"`),
		jwk(t, k["second ec"].Public(), "second ec", `,"key_ops":["verify"]`),
		jwk(t, k["ed"].Public(), "ed", ``),
		jwk(t, k["p384"].Public(), "p384", ``),
		jwk(t, k["p384"].Public(), "p384 for ES256", `,"alg":"ES256"`),
		jwk(t, k["encryption"].Public(), "encryption", `,"use":"enc"`),
		jwk(t, k["ec"].Public(), "twice", ``),
		jwk(t, k["second ec"].Public(), "twice", ``),
		`{"kty":"oct","kid":"symmetric","k":"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"}`,
		`{"kty":"quantum","kid":"future"}`,
		jwk(t, k["weak"].Public(), "weak", ``),
	)
}

// list is a JSON object under construction. Unlike a map it may be wrong.
type list []struct{ name, raw string }

func (l *list) add(name, raw string) { *l = append(*l, struct{ name, raw string }{name, raw}) }

func (l *list) set(name, raw string) {
	for i := range *l {
		if (*l)[i].name == name {
			(*l)[i].raw = raw
			return
		}
	}
	l.add(name, raw)
}

func (l *list) remove(name string) {
	var rest list
	for _, m := range *l {
		if m.name != name {
			rest = append(rest, m)
		}
	}
	*l = rest
}

func (l list) String() string {
	var parts []string
	for _, m := range l {
		parts = append(parts, `"`+m.name+`":`+m.raw)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// forge makes tokens, good ones if nothing is changed.
type forge struct {
	t      testing.TB
	header list
	claims list
	key    any    // crypto.Signer, or []byte for an HMAC
	sign   string // algorithm of the signature

	headerText, payloadText string                // instead of header and claims
	token                   func(string) string   // changes the signed token
	authorization           func(string) []string // nil: Bearer
}

// newForge signs with the key of that name, which is its kid.
func newForge(t testing.TB, key, algorithm string, now time.Time) *forge {
	f := &forge{t: t, key: keyPairs()[key], sign: algorithm}
	f.header.add("alg", quote(algorithm))
	f.header.add("typ", `"at+jwt"`)
	f.header.add("kid", quote(key))
	f.claims.add("iss", quote(issuerURL))
	f.claims.add("aud", quote(audience))
	f.claims.add("sub", `"ann"`)
	f.claims.add("client_id", `"reporter"`)
	f.claims.add("jti", `"id-1"`)
	f.claims.add("iat", stamp(now))
	f.claims.add("exp", stamp(now.Add(time.Hour)))
	f.claims.add("scope", `"Events.Send.orders openid"`)
	return f
}

func (f *forge) text() string {
	header, payload := f.headerText, f.payloadText
	if header == "" {
		header = f.header.String()
	}
	if payload == "" {
		payload = f.claims.String()
	}
	compact := signed(f.t, header, payload, f.sign, f.key)
	if f.token != nil {
		compact = f.token(compact)
	}
	return compact
}

func (f *forge) headers() []string {
	if f.authorization != nil {
		return f.authorization(f.text())
	}
	return []string{"Bearer " + f.text()}
}

func signed(t testing.TB, header, payload, algorithm string, key any) string {
	t.Helper()
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := signature(input, algorithm, key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encode(signature)
}

// signature does what RFC 7518 section 3 says, with the standard library only.
func signature(input, algorithm string, key any) ([]byte, error) {
	hash256 := sha256.Sum256([]byte(input))
	switch algorithm {
	case "none":
		return nil, nil
	case "HS256":
		mac := hmac.New(sha256.New, key.([]byte))
		mac.Write([]byte(input))
		return mac.Sum(nil), nil
	case "RS256":
		return key.(crypto.Signer).Sign(rand.Reader, hash256[:], crypto.SHA256)
	case "PS256":
		return key.(crypto.Signer).Sign(rand.Reader, hash256[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	case "EdDSA":
		return key.(crypto.Signer).Sign(rand.Reader, []byte(input), crypto.Hash(0))
	case "ES256":
		return fixedECDSA(key.(*ecdsa.PrivateKey), hash256[:])
	case "ES384":
		hash384 := sha512.Sum384([]byte(input))
		return fixedECDSA(key.(*ecdsa.PrivateKey), hash384[:])
	}
	return nil, errors.New("no such algorithm: " + algorithm)
}

func fixedECDSA(key *ecdsa.PrivateKey, hash []byte) ([]byte, error) {
	size := (key.Params().BitSize + 7) / 8
	r, s, err := ecdsa.Sign(rand.Reader, key, hash)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func stamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// still is a clock that stands.
type still struct {
	clock.Clock
	now time.Time
}

func (s still) Now() time.Time { return s.now }

// roundTrip is an http.RoundTripper that needs no network, so that time in a bubble can pass.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// noNetwork fails the test if anything is fetched.
func noNetwork(t testing.TB) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("fetched %s", r.URL)
		return nil, errors.New("there is no network")
	})}
}

// web serves from a handler in memory, and counts.
type web struct {
	mu      sync.Mutex
	handler http.HandlerFunc
	fetches map[string]int // by path
}

func newWeb(h http.HandlerFunc) *web { return &web{handler: h, fetches: make(map[string]int)} }

func (w *web) serve(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handler = h
}

func (w *web) count(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches[path]
}

func (w *web) client() *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w.mu.Lock()
		w.fetches[r.URL.Path]++
		handler := w.handler
		w.mu.Unlock()
		if handler == nil {
			return nil, errors.New("connection refused")
		}
		recorder := httptest.NewRecorder()
		handler(recorder, r)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		response := recorder.Result()
		response.Request = r
		return response, nil
	})}
}

func (w *web) body(data []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.Write(data) }
}

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// sendRule lets scopes Events.Send.<hub> name the hub.
func sendRule() Rule {
	return Rule{Issuer: issuerURL, Kind: Any, Claim: "scope", Value: "Events.Send.<hub>", Actions: []Action{Send}}
}

// wantRefused checks status and reason, and that a token never comes back in a text.
func wantRefused(t testing.TB, err error, status int, reason Reason) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v, want status %d and reason %v", err, status, reason)
	}
	if e.Status != status || e.Reason != reason {
		t.Fatalf("status %d, reason %v (%s), want %d, %v", e.Status, e.Reason, e.Text, status, reason)
	}
	return e
}

func verify(v *Verifier, compact string) (*Principal, error) {
	return v.Verify(context.Background(), []string{"Bearer " + compact})
}
