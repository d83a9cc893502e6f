package issuer

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

const (
	lifetime       = time.Hour // of a token
	scopePrefix    = "send:"
	scopeAll       = scopePrefix + "*"
	formBytesMax   = 16 << 10
	clientBytesMax = 128
	scopeBytesMax  = 4 << 10 // so that a token stays well below what verifiers take
)

// refusal is an answer of RFC 6749 section 5.2.
type refusal struct {
	status int
	code   string // error
	text   string // error_description
}

func (r *refusal) Error() string { return r.code + ": " + r.text }

func refuse(code, format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: code, text: describe(fmt.Sprintf(format, args...))}
}

// describe keeps to the characters of an error_description (RFC 6749 section 5.2).
func describe(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, text)
}

// token is the token endpoint, with the grant client_credentials only (RFC 6749 section 4.4).
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // section 5.1
	client, scope, err := readRequest(w, r)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	signed, err := i.mint(client, scope)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.o.Log.Debug("development issuer made a token", "client", client, "scope", scope)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": signed, "token_type": "Bearer", "expires_in": int(lifetime / time.Second), "scope": scope,
	})
}

func (i *Issuer) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*refusal](err)
	if !ok {
		i.o.Log.Error("development issuer failed", "err", err)
		e = &refusal{status: http.StatusInternalServerError, code: "server_error", text: "the log has the cause"}
	}
	i.o.Log.Debug("development issuer refused a request", "remote", r.RemoteAddr, "path", r.URL.Path, "reason", e)
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="evhub development issuer", charset="UTF-8"`)
	}
	writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.text})
}

// readRequest gives the client and the scopes it gets, separated by spaces.
func readRequest(w http.ResponseWriter, r *http.Request) (client, scope string, err error) {
	form, err := readForm(w, r)
	if err != nil {
		return "", "", err
	}
	client, err = authenticate(r, form)
	if err != nil {
		return "", "", err
	}
	switch grant := form.Get("grant_type"); grant {
	case "client_credentials":
	case "":
		return "", "", refuse("invalid_request", "grant_type is missing; send grant_type=client_credentials")
	default:
		return "", "", refuse("unsupported_grant_type", "only grant_type=client_credentials is supported")
	}
	scope, err = grantedScope(form.Get("scope"))
	return client, scope, err
}

// readForm reads the body only: nothing of this may stand in an address, where it would be logged (section 2.3.1).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse("invalid_request", "the body must be a form: Content-Type: application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, formBytesMax)
	if err := r.ParseForm(); err != nil {
		return nil, refuse("invalid_request", "the body is no form of at most %d bytes", formBytesMax)
	}
	for _, name := range []string{"grant_type", "scope", "client_id", "client_secret"} {
		if len(r.PostForm[name]) > 1 {
			return nil, refuse("invalid_request", "%s is there more than once", name)
		}
	}
	return r.PostForm, nil
}

// authenticate takes HTTP Basic or client_id and client_secret in the form, and not both (section 2.3).
func authenticate(r *http.Request, form url.Values) (string, error) {
	name, secret, basic := r.BasicAuth()
	if basic {
		var errName, errSecret error
		name, errName = url.QueryUnescape(name) // section 2.3.1 encodes both as in a form
		secret, errSecret = url.QueryUnescape(secret)
		if errName != nil || errSecret != nil {
			return "", refuse("invalid_request", "client_id and secret in HTTP Basic must be encoded as in a form (RFC 6749 section 2.3.1)")
		}
		if form.Has("client_secret") || form.Has("client_id") && form.Get("client_id") != name {
			return "", refuse("invalid_request", "the client names itself twice: use HTTP Basic or client_id and client_secret in the form")
		}
	} else {
		name, secret = form.Get("client_id"), form.Get("client_secret")
	}
	switch {
	case secret != DevelopmentSecret:
		return "", &refusal{
			status: http.StatusUnauthorized, code: "invalid_client",
			text: "the client secret is not right; the secret of every client of this development issuer is " + DevelopmentSecret,
		}
	case len(name) < 1 || len(name) > clientBytesMax || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", refuse("invalid_request", "client_id must have 1 to %d printable ASCII characters", clientBytesMax)
	}
	return name, nil
}

// grantedScope gives what was asked for, each once, or all where nothing was.
func grantedScope(asked string) (string, error) {
	if len(asked) > scopeBytesMax {
		return "", refuse("invalid_scope", "scope has %d bytes, more than %d; ask for %s", len(asked), scopeBytesMax, scopeAll)
	}
	var scopes []string
	for scope := range strings.SplitSeq(asked, " ") {
		hub, ok := strings.CutPrefix(scope, scopePrefix)
		switch {
		case scope == "" || slices.Contains(scopes, scope):
			continue
		case !ok || !jwt.IsHubName(hub) && scope != scopeAll:
			return "", refuse("invalid_scope", "a scope here is %s<hub>, or %s for all hubs, with spaces between; the name of a hub has A-Z a-z 0-9 . _ -",
				scopePrefix, scopeAll)
		}
		scopes = append(scopes, scope)
	}
	if len(scopes) == 0 {
		return scopeAll, nil
	}
	return strings.Join(scopes, " "), nil
}

// mint makes a token as RFC 9068 section 2.2 says. The subject of a client that acts for itself is the client.
func (i *Issuer) mint(client, scope string) (string, error) {
	now := i.o.Clock.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": i.o.URL, "aud": i.o.Audience, "sub": client, "client_id": client, "scope": scope,
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
