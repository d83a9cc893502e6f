// Package issuer is an OAuth 2 token issuer for local development: anyone who can reach it gets a token for any hub.
//
// What its users need: that an unmodified OAuth library gets a token from it as it would from a real issuer, so that the code under test is
// the code that runs later; and that it is no way in for others. What could break that, and the rule that keeps it whole:
//   - Its one client secret is public, and its key is made at each start and never leaves memory. It must not be trusted by a service that
//     guards anything.
//   - A web page that the developer happens to look at must not get tokens (see webpage).
//   - What it says about itself in its metadata is what it does; a real client tests that.
package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/webpage"
)

// DevelopmentSecret is the client secret of every client. It is public, and keeps nobody out.
const DevelopmentSecret = "dev"

// Options are for New. URL and Audience are required.
type Options struct {
	URL      string // its identifier and address, such as http://localhost:8080/issuer: iss of its tokens
	Audience string // aud of its tokens

	Clock clock.Clock  // clock.System
	Log   *slog.Logger // slog.DiscardHandler
}

// Issuer answers HTTP requests below the path of its URL: /.well-known/openid-configuration, /jwks and /token. It is safe for concurrent use.
type Issuer struct {
	o      Options
	url    *url.URL
	path   string // of the URL, without a slash at its end
	routes map[string]http.HandlerFunc
	signer jose.Signer
	keys   []byte // JWK set
}

// New makes an issuer with a key of its own. It starts nothing.
func New(o Options) (*Issuer, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("URL: %.200q is not an address such as http://localhost:8080/issuer", o.URL)
	}
	if o.Audience == "" {
		return nil, fmt.Errorf("Audience: name the audience that its tokens are for, such as api://events")
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	i := &Issuer{o: o, url: u, path: strings.TrimSuffix(u.Path, "/")}
	if err := i.makeKey(); err != nil {
		return nil, err
	}
	i.routes = map[string]http.HandlerFunc{
		i.path + openIDPath: i.metadata,
		i.path + oauthPath:  i.metadata,
		oauthPath + i.path:  i.metadata, // where RFC 8414 section 3 has it
		i.path + keysPath:   i.jwks,
		i.path + tokenPath:  i.token,
	}
	return i, nil
}

const (
	openIDPath = "/.well-known/openid-configuration"
	oauthPath  = "/.well-known/oauth-authorization-server"
	keysPath   = "/jwks"
	tokenPath  = "/token"
)

func (i *Issuer) makeKey() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public := jose.JSONWebKey{Key: private.Public(), KeyID: rand.Text(), Algorithm: "ES256", Use: "sig"}
	if i.keys, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}); err != nil {
		return err
	}
	i.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("at+jwt"),
	)
	return err
}

// Patterns are what an http.ServeMux must send here. With a URL that has no path that is everything.
func (i *Issuer) Patterns() []string { return []string{i.path + "/", oauthPath + i.path} }

// Trust is what a verifier in this process needs to know. The keys are in it, so nothing is fetched.
func (i *Issuer) Trust() jwt.Issuer {
	return jwt.Issuer{
		URL: i.o.URL, Audiences: []string{i.o.Audience}, Keys: i.keys, Algorithms: []string{"ES256"}, Type: "at+jwt", LifetimeMax: lifetime,
	}
}

// Rules are what the tokens of a development issuer may do: the scope send:<hub> is for one hub, send:* for all.
func Rules(issuerURL string) []jwt.Rule {
	send := jwt.Rule{Issuer: issuerURL, Kind: jwt.App, Claim: "scope", Actions: []jwt.Action{jwt.Send}}
	one, all := send, send
	one.Value = scopePrefix + "<hub>"
	all.Value, all.Hubs = scopePrefix+`\*`, []string{"*"}
	return []jwt.Rule{one, all}
}

// ServeHTTP refuses what a web page could send, and answers the rest.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if why := webpage.Refusal(r, true); why != "" {
		i.o.Log.Debug("development issuer refused a request", "remote", r.RemoteAddr, "path", r.URL.Path, "reason", why)
		http.Error(w, why, http.StatusForbidden)
		return
	}
	serve := i.routes[r.URL.Path]
	if serve == nil {
		http.Error(w, "nothing here; this development issuer says what it has at "+i.o.URL+openIDPath, http.StatusNotFound)
		return
	}
	method := http.MethodGet
	if r.URL.Path == i.path+tokenPath {
		method = http.MethodPost
	}
	if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
		w.Header().Set("Allow", method)
		http.Error(w, "use "+method+" here", http.StatusMethodNotAllowed)
		return
	}
	serve(w, r)
}

// metadata answers as OpenID Connect Discovery 1.0 section 3 and RFC 8414 section 2 say.
//
// The addresses are those by which the caller has reached it: from outside a container they are others than the issuer knows.
func (i *Issuer) metadata(w http.ResponseWriter, r *http.Request) {
	here := *i.url
	here.Host = r.Host
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.o.URL,
		"token_endpoint":                        here.JoinPath(tokenPath).String(),
		"jwks_uri":                              here.JoinPath(keysPath).String(),
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"scopes_supported":                      []string{scopeAll},
		"response_types_supported":              []string{}, // required, and there is no authorization endpoint
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

// jwks lets a set be kept for the shortest time that verifiers keep one: the key is another after the next start.
func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", int(time.Minute/time.Second)))
	w.Write(i.keys)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}
