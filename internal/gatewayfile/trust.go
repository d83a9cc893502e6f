package gatewayfile

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/setting"
)

// Issuer is an authority whose tokens are trusted, or a tenant of Microsoft Entra, which has two.
type Issuer struct {
	Name      string   `key:"name"`  // which rules may use; else they use URL, or Entra
	URL       string   `key:"url"`   // what iss is, to the letter; "" with Entra
	Entra     string   `key:"entra"` // id of a tenant, in place of URL
	Audiences []string `key:"audiences" need:"name the audience that tokens for this service have, such as api://events"`

	// Where the keys are; with none of both, the issuer's OpenID Connect metadata say it.
	KeysURL  string `key:"keysUrl"`
	KeysFile string `key:"keysFile" as:"path"` // a JWK set, or PEM

	Algorithms  []string      `key:"algorithms" of:"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"` // nil: jwt's
	Type        string        `key:"type"`                                                                        // what typ must be; "": jwt's rule
	Tenant      string        `key:"tenant"`                                                                      // what tid must be
	Leeway      time.Duration `key:"leeway" min:"1s" max:"1m"`                                                    // 0, where it is not given: 30 s
	LifetimeMax time.Duration `key:"lifetimeMax" min:"1m" max:"365d"`                                             // 0: 24 h
	Insecure    bool          `key:"insecure"`                                                                    // http, of this machine only
}

// Rule gives rights to tokens, as jwt.Rule says.
type Rule struct {
	Issuer         string        `key:"issuer" need:"name one of issuers"`
	Kind           string        `key:"kind" of:"app user any" need:"it is app, user or any"`
	Claim          string        `key:"claim" need:"name the claim that gives the right, such as roles"`
	Value          string        `key:"value" need:"say what the claim must hold, such as Events.Send"`
	Role           string        `key:"role"`
	Hubs           []string      `key:"hubs"`
	Actions        []string      `key:"actions" of:"send"`                 // nil: send
	Rate           float64       `key:"rate" min:"0"`                      // messages a second of each caller, 0: no limit
	BytesPerSecond setting.Bytes `key:"bytesPerSecond" min:"0" max:"1TiB"` // of each caller, 0: no limit
}

// hubMark stands in a rule's value where a token's value names the hub.
const hubMark = "<hub>"

// Trust gives what package jwt takes. A tenant of Entra becomes two issuers, and a rule for it two rules.
func (c *Config) Trust() (issuers []jwt.Issuer, rules []jwt.Rule) {
	t := c.trust()
	return t.issuers, t.rules
}

// trust is what package jwt takes, and which of the file's issuers and rules each of it comes from.
type trust struct {
	issuers            []jwt.Issuer
	rules              []jwt.Rule
	ofIssuers, ofRules []int
}

func (c *Config) trust() (t trust) {
	urls := make(map[string][]string)
	for n := range c.Issuers {
		issuer := &c.Issuers[n]
		for _, made := range issuer.issuers() {
			t.issuers, t.ofIssuers = append(t.issuers, made), append(t.ofIssuers, n)
			urls[issuer.called()] = append(urls[issuer.called()], made.URL)
		}
	}
	for n := range c.Rules {
		for _, u := range urls[c.Rules[n].Issuer] {
			t.rules, t.ofRules = append(t.rules, c.Rules[n].rule(u)), append(t.ofRules, n)
		}
	}
	return t
}

// Explain is an error that jwt.New had with what Trust gave, with the path that the file has for it. Other errors stay as they are.
func (c *Config) Explain(err error) error {
	e, ok := errors.AsType[*jwt.OptionError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s: %w", c.pathOf(e), e.Err)
}

func (c *Config) pathOf(e *jwt.OptionError) string {
	list, of, fields := "issuers", c.trust().ofIssuers, reflect.TypeFor[Issuer]()
	if e.List == "Rules" {
		list, of, fields = "rules", c.trust().ofRules, reflect.TypeFor[Rule]()
	}
	if e.Index < 0 {
		return list
	}
	n := of[e.Index]
	name, index, indexed := strings.Cut(e.Field, "[")
	if list == "issuers" && name == "URL" && c.Issuers[n].URL == "" {
		name = "Entra" // whose URLs are made of it
	}
	f, _ := fields.FieldByName(name) // the structs of both packages call the same thing by the same name
	path := join(item(list, n), f.Tag.Get("key"))
	if indexed {
		path += "[" + index
	}
	return path
}

// called is what rules call the issuer.
func (i *Issuer) called() string {
	for _, name := range []string{i.Name, i.URL} {
		if name != "" {
			return name
		}
	}
	return i.Entra
}

func (i *Issuer) issuers() []jwt.Issuer {
	list := []jwt.Issuer{{URL: i.URL, KeysURL: i.KeysURL, KeysFile: i.KeysFile, Audiences: i.Audiences, Tenant: i.Tenant}}
	if i.Entra != "" {
		list = jwt.Entra(i.Entra, i.Audiences...)
	}
	for n := range list {
		made := &list[n]
		made.Algorithms, made.Type, made.Insecure, made.Leeway, made.LifetimeMax = i.Algorithms, i.Type, i.Insecure, i.Leeway, i.LifetimeMax
	}
	return list
}

var kinds = map[string]jwt.Kind{"app": jwt.App, "user": jwt.User, "any": jwt.Any}

func (r *Rule) rule(issuer string) jwt.Rule {
	return jwt.Rule{
		Issuer: issuer, Kind: kinds[r.Kind], Claim: r.Claim, Value: r.Value, Role: r.Role, Hubs: r.Hubs,
		Actions: []jwt.Action{jwt.Send}, Rate: r.Rate, BytesPerSecond: int64(r.BytesPerSecond),
	}
}

func (d *decoder) checkIssuers(c *Config) {
	seen := make(map[string]string) // the path of the issuer that has a name or url
	for n := range c.Issuers {
		i, path := &c.Issuers[n], item("issuers", n)
		d.checkIssuer(i, path)
		claimed := []string{i.called()}
		for _, made := range i.issuers() {
			claimed = append(claimed, made.URL)
		}
		slices.Sort(claimed)
		for _, name := range slices.Compact(claimed) {
			if first, twice := seen[name]; twice && name != "" {
				d.failAt(path, "has the name or url %.200q, as %s has", name, first)
			}
			seen[name] = path
		}
	}
}

func (d *decoder) checkIssuer(i *Issuer, path string) {
	switch {
	case i.URL == "" && i.Entra == "":
		d.failAt(path, "has no url; give the url that tokens have as iss, or entra with the id of a tenant")
	case i.URL != "" && i.Entra != "":
		d.failAt(join(path, "entra"), "is given beside url; give one of both")
	case i.Entra != "" && strings.Trim(i.Entra, hexLetters) != "":
		d.failAt(join(path, "entra"), "%.80q is not the id of a tenant, like 00000000-0000-0000-0000-000000000000", i.Entra)
	case i.Entra != "" && (i.KeysURL != "" || i.KeysFile != "" || i.Tenant != ""):
		d.failAt(join(path, "entra"), "knows keys and tenant itself; leave keysUrl, keysFile and tenant out")
	case i.KeysURL != "" && i.KeysFile != "":
		d.failAt(join(path, "keysFile"), "is given beside keysUrl; give one of both")
	case i.KeysURL != "":
		d.checkURL(join(path, "keysUrl"), i.KeysURL, i.Insecure)
	case i.URL != "" && i.KeysFile == "":
		d.checkURL(join(path, "url"), i.URL, i.Insecure)
	}
	if i.URL != "" && (len(i.URL) > 512 || strings.ContainsFunc(i.URL, notOfIssuer)) {
		d.failAt(join(path, "url"), "is not the identifier of an issuer, which has 1 to 512 printable characters and no #")
	}
	if slices.Contains(i.Audiences, "") {
		d.failAt(join(path, "audiences"), "has an empty one; name the audience that tokens for this service have, such as api://events")
	}
}

const hexLetters = "0123456789abcdefABCDEF-"

func notOfIssuer(r rune) bool { return r <= ' ' || r > '~' || r == '#' }

// checkURL says whether keys or metadata may be fetched there.
func (d *decoder) checkURL(path, address string, insecure bool) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		d.failAt(path, "is not an address such as https://login.example.com/tenant") // and may hold a password
	case u.Scheme == "https", u.Scheme == "http" && insecure && isLoopback(u.Hostname()):
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		d.failAt(path, "%.200q must begin with https://; for an issuer of this machine write insecure: true beside it", address)
	default:
		d.failAt(path, "%.200q must begin with https://, so that nobody on the way can put in keys of their own", address)
	}
}

func (d *decoder) checkRules(c *Config) {
	var names []string
	for i := range c.Issuers {
		if name := c.Issuers[i].called(); name != "" {
			names = append(names, name)
		}
	}
	used := make(map[string]bool)
	for n := range c.Rules {
		r, path := &c.Rules[n], item("rules", n)
		used[r.Issuer] = true
		if len(names) > 0 && r.Issuer != "" && !slices.Contains(names, r.Issuer) {
			d.failAt(join(path, "issuer"), "there is no issuer %.200q%s", r.Issuer, orElse(d.guess(r.Issuer, names), names))
		}
		d.checkRule(r, path)
		d.checkRuleHubs(r, path, c.Routes)
	}
	for n := range c.Issuers {
		if !used[c.Issuers[n].called()] {
			d.warnAt(item("issuers", n), "no rule is for this issuer, so its tokens may do nothing")
		}
	}
}

// orElse tells of what there is, or of what was meant.
func orElse(guess string, names []string) string {
	const few = 5
	switch {
	case guess != "":
		return fmt.Sprintf("; did you mean %s?", guess)
	case len(names) > few:
		return fmt.Sprintf("; there is %.200s and others", strings.Join(names[:few], ", "))
	}
	return fmt.Sprintf("; there is %.200s", strings.Join(names, ", "))
}

func (d *decoder) checkRule(r *Rule, path string) {
	if r.Kind == "app" && r.Claim == "scp" {
		d.failAt(join(path, "claim"), "scp is what a person lets a program do, and no right of an app; use roles")
	}
	if r.Kind == "app" && r.Role != "" {
		d.failAt(join(path, "role"), "is for a user's roles; for an app write claim: roles")
	}
	if text := badValue(r.Value); text != "" {
		d.failAt(join(path, "value"), "%s", text)
	}
	if len(r.Hubs) == 0 && r.Value != "" && !strings.Contains(r.Value, hubMark) {
		d.failAt(join(path, "hubs"), `is missing; name the hubs, or ["*"] for all; it may be left out only where value has %s`, hubMark)
	}
}

func badValue(s string) string {
	before, after, namesHub := strings.Cut(s, hubMark)
	start, _ := strings.CutSuffix(s, "*")
	switch {
	case namesHub && strings.ContainsAny(before+after, "*<>"):
		return "has " + hubMark + " twice, or a * as well"
	case !namesHub && strings.Contains(start, "*"):
		return "has a * that is not at its end"
	}
	return ""
}

func (d *decoder) checkRuleHubs(r *Rule, path string, routes map[string]Route) {
	for n, name := range r.Hubs {
		at := item(join(path, "hubs"), n)
		start, isPrefix := strings.CutSuffix(name, "*")
		if !jwt.IsHubName(start) && (!isPrefix || start != "") {
			d.failAt(at, "%.80q is neither a hub's name (1 to 256 of A-Z a-z 0-9 . _ -) nor the beginning of one and *", name)
			continue
		}
		if !coversAny(name, routes) {
			d.warnAt(at, "no route has a hub %s", name)
		}
	}
}

// covers tells whether a rule's hub, which may end with *, takes in the hub of that name.
func covers(pattern, hub string) bool {
	start, isPrefix := strings.CutSuffix(pattern, "*")
	return pattern == hub || isPrefix && strings.HasPrefix(hub, start)
}

func coversAny(pattern string, routes map[string]Route) bool {
	for hub := range routes {
		if covers(pattern, hub) {
			return true
		}
	}
	return false
}

// lets tells whether the rule could let somebody send to the hub.
func (r *Rule) lets(hub string) bool {
	return len(r.Hubs) == 0 || slices.ContainsFunc(r.Hubs, func(pattern string) bool { return covers(pattern, hub) })
}
