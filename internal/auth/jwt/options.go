package jwt

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

// Defaults and limits.
const (
	leewayDefault   = 30 * time.Second
	leewayMax       = time.Minute
	lifetimeDefault = 24 * time.Hour
	entriesDefault  = 64 << 10
)

// Options are for New.
type Options struct {
	Issuers []Issuer // at least one
	Rules   []Rule   // at least one: without a rule no token may do anything

	Clock        clock.Clock  // clock.System
	Client       *http.Client // fetches keys; its redirects and time are limited as this package says. nil: one of its own
	Log          *slog.Logger // slog.DiscardHandler
	CacheEntries int          // verified tokens to remember, about 1 KiB each. 0: 65536; negative: none
}

// Issuer is one authority whose tokens are trusted.
//
// Its keys come from Keys, KeysFile or KeysURL, at most one of which may be set; with none, the address is looked up in the issuer's OpenID
// Connect or RFC 8414 metadata below URL, whose issuer must be URL to the letter.
type Issuer struct {
	URL       string   // what iss must be, to the letter
	Audiences []string // aud must name one of them, to the letter; at least one, used by no other service

	KeysURL  string // address of a JWK set
	KeysFile string // a JWK set, or public keys or certificates as PEM; read again every 5 s. It must be there when the Verifier is made
	Keys     []byte // a JWK set itself; it never changes

	// Algorithms that signatures may have. nil: RS256, PS256, ES256, EdDSA. The 384 and 512 bit forms may be named; HS256 and none may not.
	Algorithms []string

	// Type is what typ must be: "at+jwt" for issuers that follow RFC 9068. "": at+jwt, JWT or no typ. Unless the token's is at+jwt, its
	// claims must show an access token (scope, scp, or roles or permissions of a named client), so that an ID token does not pass for one.
	Type string

	Tenant   string // what tid must be, to the letter; "": not looked at
	Insecure bool   // http addresses are taken as well, of this machine only

	Leeway      time.Duration // for clocks that differ; 0: 30 s, at most 1 min
	LifetimeMax time.Duration // from iat to exp; 0: 24 h
}

// Entra gives the two issuers of a Microsoft Entra tenant: it makes tokens of version 1 or 2 as the API's registration says
// (requestedAccessTokenVersion), with another iss and usually another aud: "api://<id>" in version 1, the bare id in version 2. The tenant is
// its id, not a domain.
func Entra(tenant string, audiences ...string) []Issuer {
	const authority = "https://login.microsoftonline.com/"
	return []Issuer{
		{URL: "https://sts.windows.net/" + tenant + "/", KeysURL: authority + tenant + "/discovery/keys", Audiences: audiences, Tenant: tenant},
		{URL: authority + tenant + "/v2.0", KeysURL: authority + tenant + "/discovery/v2.0/keys", Audiences: audiences, Tenant: tenant},
	}
}

// Kind says whether a token stands for a program or for a person.
type Kind uint8

const (
	App  Kind = iota + 1 // a program on its own account (client credentials)
	User                 // a program that acts for a person, and every token that does not show it is an App's
	Any                  // in rules only
)

func (k Kind) String() string {
	switch k {
	case App:
		return "app"
	case User:
		return "user"
	case Any:
		return "any"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Action is what a principal may do in a hub.
type Action uint8

// Send is to publish.
const Send Action = 1

func (a Action) String() string {
	if a == Send {
		return "send"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Rule gives rights to tokens of one issuer that have one value in one claim. What no rule gives is denied.
type Rule struct {
	Issuer string // URL of an Issuer
	Kind   Kind

	// Claim is a name at the top of the token ("roles", "scope", "https://example.com/rights"), or a path with dots (realm_access.roles). Its
	// value is a string, or an array of strings; scope and scp as a string are split at spaces. scp is never read in an App's token, and
	// roles in a token with scp are the person's, which alone give the program nothing: for those a rule names the scope, and the role in Role.
	Claim string

	// Value is what the claim must hold, to the letter. "Events.*" holds for all that begins so, "Events.\*" for a star itself. In
	// "Events.Send.<hub>" the value names the hub that the rule then is for.
	Value string

	Role    string   // which a User must have in roles as well; "": none
	Hubs    []string // names, or beginnings of names as "orders-*"; "*" is all. nil only where Value has <hub>, and then all
	Actions []Action // at least one

	Rate           float64 // messages per second of each principal, 0: no limit
	BytesPerSecond int64   // of each principal, 0: no limit
}

// IsHubName tells whether a hub may be called so here: 1 to 256 of A-Z a-z 0-9 . _ -
func IsHubName(name string) bool {
	return 1 <= len(name) && len(name) <= 256 && strings.Trim(name, hubLetters) == ""
}

const hubLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// OptionError is why New does not take its options.
type OptionError struct {
	List  string // Issuers or Rules
	Index int    // of the one in it; -1: the list itself
	Field string // of that, such as KeysFile or Algorithms[1]
	Err   error  // what is wrong, for whoever has written the options in Go or elsewhere: it names no field
}

func (e *OptionError) Error() string {
	if e.Index < 0 {
		return e.List + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s[%d].%s: %s", e.List, e.Index, e.Field, e.Err)
}

func (e *OptionError) Unwrap() error { return e.Err }

// wrong is an OptionError that does not know its place yet.
func wrong(field, format string, args ...any) *OptionError {
	return &OptionError{Field: field, Err: fmt.Errorf(format, args...)}
}

func (e *OptionError) of(list string, index int) *OptionError {
	e.List, e.Index = list, index
	return e
}

// checked gives the options with their defaults, or an *OptionError.
func (o Options) checked() (Options, error) {
	if len(o.Issuers) == 0 {
		return o, wrong("", "at least one is needed").of("Issuers", -1)
	}
	if len(o.Rules) == 0 {
		return o, wrong("", "at least one is needed, for without a rule no token may do anything").of("Rules", -1)
	}
	urls := make(map[string]bool)
	o.Issuers = slices.Clone(o.Issuers)
	for i := range o.Issuers {
		if err := o.Issuers[i].complete(); err != nil {
			return o, err.of("Issuers", i)
		}
		if urls[o.Issuers[i].URL] {
			return o, wrong("URL", "%.200q is there twice", o.Issuers[i].URL).of("Issuers", i)
		}
		urls[o.Issuers[i].URL] = true
	}
	for i := range o.Rules {
		if err := o.Rules[i].check(); err != nil {
			return o, err.of("Rules", i)
		}
		if !urls[o.Rules[i].Issuer] {
			return o, wrong("Issuer", "no issuer is called %.200q; it must be the same to the letter", o.Rules[i].Issuer).of("Rules", i)
		}
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = entriesDefault
	}
	return o, nil
}

func algorithmsDefault() []string { return []string{"RS256", "PS256", "ES256", "EdDSA"} }

// complete checks an issuer and fills in its defaults.
func (i *Issuer) complete() *OptionError {
	if err := i.checkKeysFrom(); err != nil {
		return err
	}
	if len(i.Audiences) == 0 || slices.Contains(i.Audiences, "") {
		return wrong("Audiences", "name the audience that tokens for this service have, such as api://events")
	}
	if i.Algorithms == nil {
		i.Algorithms = algorithmsDefault()
	}
	for n, name := range i.Algorithms {
		if _, known := algorithms[name]; !known {
			return wrong(fmt.Sprintf("Algorithms[%d]", n), "%.40q is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA", name)
		}
	}
	if i.Leeway == 0 {
		i.Leeway = leewayDefault
	}
	if i.Leeway < 0 || i.Leeway > leewayMax {
		return wrong("Leeway", "%v is not between 0 and %v", i.Leeway, leewayMax)
	}
	if i.LifetimeMax == 0 {
		i.LifetimeMax = lifetimeDefault
	}
	if i.LifetimeMax < 0 {
		return wrong("LifetimeMax", "%v is less than 0", i.LifetimeMax)
	}
	return nil
}

// checkKeysFrom checks the URL as well: as an address only if metadata are looked up there.
func (i *Issuer) checkKeysFrom() *OptionError {
	if i.URL == "" || len(i.URL) > 512 || strings.Trim(i.URL, printable) != "" || strings.Contains(i.URL, "#") {
		return wrong("URL", "%.200q is not the identifier of an issuer, which has 1 to 512 printable characters and no #", i.URL)
	}
	sources := 0
	for _, set := range []bool{i.KeysURL != "", i.KeysFile != "", i.Keys != nil} {
		if set {
			sources++
		}
	}
	switch {
	case sources > 1:
		return wrong("KeysURL", "the keys have several sources; only one of address, file and the keys themselves may be given")
	case i.KeysURL != "":
		if err := checkAddress(i.KeysURL, i.Insecure); err != nil {
			return wrong("KeysURL", "%w", err)
		}
	case sources == 0:
		if err := checkAddress(i.URL, i.Insecure); err != nil {
			return wrong("URL", "%w", err)
		}
	}
	return nil
}

// printable is ASCII without the space.
const printable = hubLetters + "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~"

// checkAddress says whether keys may be fetched there.
func checkAddress(address string, insecure bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%.200q is not an address such as https://login.example.com/tenant", address)
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("%.200q must begin with https://", address)
	case !insecure:
		return fmt.Errorf("%.200q must begin with https://; http is for an issuer on this machine that is said to be insecure", address)
	case !isLoopback(u.Hostname()):
		return fmt.Errorf("%.200q must begin with https://; http is for localhost, 127.0.0.1 and [::1] only", address)
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func (r *Rule) check() *OptionError {
	switch {
	case r.Kind < App || r.Kind > Any:
		return wrong("Kind", "say app, user or any")
	case r.Claim == "":
		return wrong("Claim", "name the claim that gives the right, such as roles")
	case r.Claim == "scp" && r.Kind == App:
		return wrong("Claim", "scp is what a person lets a program do and no right of an app; use roles")
	case r.Kind == App && r.Role != "":
		return wrong("Role", "this is for a user's roles; an app's roles are a claim")
	case len(r.Actions) == 0:
		return wrong("Actions", "at least one is needed")
	case math.IsNaN(r.Rate) || math.IsInf(r.Rate, 0) || r.Rate < 0:
		return wrong("Rate", "%v is not a number of messages per second", r.Rate)
	case r.BytesPerSecond < 0:
		return wrong("BytesPerSecond", "%d is less than 0", r.BytesPerSecond)
	}
	for n, action := range r.Actions {
		if action != Send {
			return wrong(fmt.Sprintf("Actions[%d]", n), "%v is not an action", action)
		}
	}
	if _, err := parseValue(r.Value); err != nil {
		return wrong("Value", "%w", err)
	}
	if len(r.Hubs) == 0 && !strings.Contains(r.Value, hubMark) {
		return wrong("Hubs", "name the hubs, or * for all; they may be left out only where the claim's value has %s", hubMark)
	}
	for n, name := range r.Hubs {
		if start, isPrefix := strings.CutSuffix(name, "*"); !IsHubName(start) && !(isPrefix && start == "") {
			return wrong(fmt.Sprintf("Hubs[%d]", n), "%.300q is neither a hub's name (1 to 256 of A-Z a-z 0-9 . _ -) nor the beginning of one and *", name)
		}
	}
	return nil
}
