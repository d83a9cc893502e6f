package jwt

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Principal is who made a request, as its token says. It is shared by all requests with that token, and nothing of it may be changed.
type Principal struct {
	Issuer  string
	Subject string // sub, "" if the token has none
	Client  string // client_id, else azp, appid or cid; "" if the token has none
	TokenID string // jti, else Entra's uti; "" if the token has none
	Kind    Kind   // App or User
	Expires time.Time

	grants []grant
	rules  []rule // of the issuer, for Refuse
}

// Limit is what a right is limited to, and which rule says so.
type Limit struct {
	Rule           int     // index in Options.Rules
	Rate           float64 // messages per second, 0: no limit
	BytesPerSecond int64   // 0: no limit
}

// grant is a rule that holds for a principal.
type grant struct {
	*rule
	named []string // hubs the token names, if the rule lets it
}

// Allows tells whether the principal may do that in the hub, by the first rule that says so. It does not allocate.
func (p *Principal) Allows(hub string, action Action) (Limit, bool) {
	if !IsHubName(hub) {
		return Limit{}, false
	}
	for i := range p.grants {
		g := &p.grants[i]
		if slices.Contains(g.actions, action) && g.coversHub(hub) && (!g.value.namesHub || slices.Contains(g.named, hub)) {
			return g.limit, true
		}
	}
	return Limit{}, false
}

// ID is the same for all tokens of one principal and different for any two principals, of all issuers.
func (p *Principal) ID() string {
	if p.Subject != "" {
		return p.Issuer + "#sub=" + p.Subject
	}
	return p.Issuer + "#client=" + p.Client
}

// Refuse is the answer where Allows says no: 403, insufficient_scope. It says what would help, and the same whether or not there is such a
// hub, so ask Allows before looking the hub up.
func (p *Principal) Refuse(hub string, action Action) *Error {
	const wantedMax = 4
	var wanted []string
	for i := range p.rules {
		r := &p.rules[i]
		if r.kind != Any && r.kind != p.Kind {
			continue
		}
		want := r.claim + " " + r.value.like(hub)
		if r.role != "" {
			want += " with roles " + r.role
		}
		if !slices.Contains(wanted, want) && len(wanted) < wantedMax {
			wanted = append(wanted, want)
		}
	}
	text := "the token gives no right to " + action.String() + " to this hub"
	if len(wanted) > 0 {
		text += "; what may give it: " + strings.Join(wanted, ", or ")
	}
	return &Error{Status: http.StatusForbidden, Code: "insufficient_scope", Reason: NoRight, Text: text}
}

// rule is a Rule made ready.
type rule struct {
	kind    Kind
	claim   string
	value   value
	role    string
	hubs    []string
	actions []Action
	limit   Limit
}

// rulesOf gives the rules of an issuer, in their order.
func rulesOf(issuer string, all []Rule) []rule {
	var own []rule
	for i := range all {
		r := &all[i]
		if r.Issuer != issuer {
			continue
		}
		value, err := parseValue(r.Value)
		if err != nil {
			panic("BUG: rule was not checked: " + err.Error())
		}
		own = append(own, rule{
			kind: r.Kind, claim: r.Claim, value: value, role: r.Role, hubs: slices.Clone(r.Hubs), actions: slices.Clone(r.Actions),
			limit: Limit{Rule: i, Rate: r.Rate, BytesPerSecond: r.BytesPerSecond},
		})
	}
	return own
}

func (r *rule) coversHub(hub string) bool {
	for _, name := range r.hubs {
		if start, isPrefix := strings.CutSuffix(name, "*"); name == hub || isPrefix && strings.HasPrefix(hub, start) {
			return true
		}
	}
	return len(r.hubs) == 0
}

// grantsFor finds the rules that hold for a token.
func grantsFor(rules []rule, c *claims) []grant {
	var grants []grant
	for i := range rules {
		if g, ok := rules[i].holds(c); ok {
			grants = append(grants, g)
		}
	}
	return grants
}

func (r *rule) holds(c *claims) (grant, bool) {
	delegated := c.has("scp")
	switch {
	case r.kind != Any && r.kind != c.kind,
		r.claim == "scp" && c.kind == App,
		r.claim == "roles" && delegated,
		r.role != "" && c.kind == User && !slices.Contains(c.values("roles"), r.role):
		return grant{}, false
	}
	g, holds := grant{rule: r}, false
	for _, have := range c.values(r.claim) {
		hub, ok := r.value.match(have)
		if holds = holds || ok; ok && r.value.namesHub {
			g.named = append(g.named, hub)
		}
	}
	return g, holds
}

// hubMark stands in a rule's value where a token's value names the hub.
const hubMark = "<hub>"

// value is what a claim must hold.
type value struct {
	before, after string
	namesHub      bool // a hub's name stands between before and after
	isPrefix      bool // anything may follow before
}

func parseValue(s string) (value, error) {
	before, after, namesHub := strings.Cut(s, hubMark)
	switch {
	case s == "":
		return value{}, errors.New("is empty; say what the claim must hold")
	case namesHub && strings.ContainsAny(before+after, "*<>"):
		return value{}, errors.New("has " + hubMark + " twice, or a * as well")
	case namesHub:
		return value{before: before, after: after, namesHub: true}, nil
	}
	start, starred := strings.CutSuffix(s, "*")
	start, literal := strings.CutSuffix(start, `\`)
	switch {
	case strings.Contains(start, "*"):
		return value{}, errors.New("has a * that is not at its end")
	case starred && literal:
		return value{before: start + "*"}, nil
	case starred:
		return value{before: start, isPrefix: true}, nil
	}
	return value{before: s}, nil
}

// match tells whether a claim's value will do, and which hub it names.
func (v value) match(have string) (hub string, ok bool) {
	switch {
	case v.isPrefix:
		return "", strings.HasPrefix(have, v.before)
	case !v.namesHub:
		return "", have == v.before
	}
	hub, okBefore := strings.CutPrefix(have, v.before)
	hub, okAfter := strings.CutSuffix(hub, v.after)
	return hub, okBefore && okAfter && IsHubName(hub)
}

// like is a value that would do for a hub.
func (v value) like(hub string) string {
	switch {
	case v.namesHub && IsHubName(hub):
		return v.before + hub + v.after
	case v.namesHub:
		return v.before + hubMark + v.after
	case v.isPrefix:
		return v.before + "..."
	}
	return v.before
}
