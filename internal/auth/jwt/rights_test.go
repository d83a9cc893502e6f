package jwt

import (
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/clock"
)

// principalOf has a token of the given claims verified. Those of another form than JSON {"a":1,...} are a mistake in the test.
func principalOf(t *testing.T, claimsText string, rules ...Rule) *Principal {
	t.Helper()
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}},
		Rules:   rules, Clock: still{clock.System, now}, Client: noNetwork(t),
	})
	f := newForge(t, "ec", "ES256", now)
	f.payloadText = strings.TrimSuffix(claimsText, "}") + `,"iss":` + quote(issuerURL) + `,"aud":` + quote(audience) +
		`,"iat":` + stamp(now) + `,"exp":` + stamp(now.Add(60e9)) + "}"
	p, err := verify(v, f.text())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKindsOfPrincipals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, claims    string
		kind            Kind
		subject, client string
	}{
		{"Entra v2 app", `{"oid":"o","sub":"o","tid":"t","azp":"c","azpacr":"1","roles":["Events.Send"],"uti":"u","ver":"2.0"}`, App, "o", "c"},
		{"Entra v1 app", `{"oid":"o","sub":"o","tid":"t","appid":"c","appidacr":"1","roles":["Events.Send"],"ver":"1.0"}`, App, "o", "c"},
		{"Entra app with idtyp", `{"oid":"x","sub":"o","tid":"t","azp":"c","idtyp":"app","roles":["Events.Send"]}`, App, "o", "c"},
		{"Entra delegated", `{"oid":"o","sub":"s","tid":"t","azp":"c","scp":"Events.Send"}`, User, "s", "c"},
		{"Entra delegated with idtyp", `{"oid":"o","sub":"o","tid":"t","azp":"c","idtyp":"user","roles":["Events.Send"]}`, User, "o", "c"},
		{"scp with oid and sub the same", `{"oid":"o","sub":"o","tid":"t","azp":"c","scp":"Events.Send"}`, User, "o", "c"},
		{"scp with sub and client the same", `{"sub":"c","client_id":"c","scp":"Events.Send"}`, User, "c", "c"},
		{"Entra user without scp", `{"oid":"o","sub":"s","tid":"t","azp":"c","roles":["Events.Send"]}`, User, "s", "c"},
		{"oid and sub the same outside Entra", `{"oid":"o","sub":"o","azp":"c","roles":["Events.Send"]}`, User, "o", "c"},
		{"idtyp of another kind", `{"sub":"c","client_id":"c","idtyp":"device"}`, User, "c", "c"},
		{"RFC 9068 app", `{"sub":"c","client_id":"c","scope":"Events.Send"}`, App, "c", "c"},
		{"RFC 9068 user", `{"sub":"s","client_id":"c","scope":"Events.Send"}`, User, "s", "c"},
		{"app without sub", `{"client_id":"c","scope":"Events.Send"}`, App, "", "c"},
		{"Auth0 app", `{"sub":"c@clients","azp":"c","gty":"client-credentials","scope":"Events.Send"}`, App, "c@clients", "c"},
		{"Auth0 user", `{"sub":"auth0|1","azp":"c","gty":"password","scope":"Events.Send"}`, User, "auth0|1", "c"},
		{"Okta app", `{"sub":"c","cid":"c","scp":["Events.Send"]}`, User, "c", "c"},
		{"Keycloak user", `{"sub":"s","azp":"c","scope":"openid","realm_access":{"roles":["sender"]}}`, User, "s", "c"},
		{"no client", `{"sub":"s","scope":"Events.Send"}`, User, "s", ""},
		{"client_id before azp", `{"sub":"s","azp":"a","client_id":"c"}`, User, "s", "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := principalOf(t, tt.claims, sendRule())
			if p.Kind != tt.kind || p.Subject != tt.subject || p.Client != tt.client || p.Issuer != issuerURL || !p.Expires.Equal(now.Add(60e9)) {
				t.Errorf("%+v, want %v %q %q", p, tt.kind, tt.subject, tt.client)
			}
		})
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	rule := func(kind Kind, claim, value, role string, hubs ...string) Rule {
		return Rule{Issuer: issuerURL, Kind: kind, Claim: claim, Value: value, Role: role, Hubs: hubs, Actions: []Action{Send}}
	}
	entraApp := `{"oid":"o","sub":"o","tid":"t","azp":"c","roles":`
	entraUser := `{"oid":"o","sub":"s","tid":"t","azp":"c",`
	for _, tt := range []struct {
		name   string
		rule   Rule
		claims string
		hubs   string // those allowed of orders, orders-eu, Orders and billing
	}{
		{"app by role", rule(App, "roles", "Events.Send", "", "*"), entraApp + `["Events.Send"]}`, "orders orders-eu Orders billing"},
		{"app by another role", rule(App, "roles", "Events.Send", "", "*"), entraApp + `["Events.Read"]}`, ""},
		{"role in other case", rule(App, "roles", "Events.Send", "", "*"), entraApp + `["events.send"]}`, ""},
		{"role with more behind", rule(App, "roles", "Events.Send", "", "*"), entraApp + `["Events.Send.orders"]}`, ""},
		{"role as a string", rule(App, "roles", "Events.Send", "", "*"), entraApp + `"Events.Send"}`, "orders orders-eu Orders billing"},
		{"roles in one string", rule(App, "roles", "Events.Send", "", "*"), entraApp + `"Events.Read Events.Send"}`, ""},
		{"roles with a number", rule(App, "roles", "Events.Send", "", "*"), entraApp + `["Events.Send",1]}`, ""},
		{"roles an object", rule(App, "roles", "Events.Send", "", "*"), entraApp + `{"Events.Send":true}}`, ""},
		{"hub by name", rule(App, "roles", "Events.Send", "", "orders"), entraApp + `["Events.Send"]}`, "orders"},
		{"hubs by beginning", rule(App, "roles", "Events.Send", "", "orders*"), entraApp + `["Events.Send"]}`, "orders orders-eu"},
		{"two hubs", rule(App, "roles", "Events.Send", "", "orders-*", "billing"), entraApp + `["Events.Send"]}`, "orders-eu billing"},
		{"role names the hub", rule(App, "roles", "Events.Send.<hub>", ""), entraApp + `["Events.Send.orders"]}`, "orders"},
		{"roles name two hubs", rule(App, "roles", "Events.Send.<hub>", ""), entraApp + `["Events.Send.billing","Events.Send.Orders"]}`, "Orders billing"},
		{"role names a hub the rule is not for", rule(App, "roles", "Events.Send.<hub>", "", "orders*"), entraApp + `["Events.Send.orders-eu","Events.Send.billing"]}`, "orders-eu"},
		{"role names no hub", rule(App, "roles", "Events.Send.<hub>", ""), entraApp + `["Events.Send."]}`, ""},
		{"role names a star", rule(App, "roles", "Events.Send.<hub>", ""), entraApp + `["Events.Send.*"]}`, ""},
		{"role names the beginning of a hub", rule(App, "roles", "Events.Send.<hub>", ""), entraApp + `["Events.Send.order"]}`, ""},
		{"hub in the middle", rule(App, "roles", "hub/<hub>/send", ""), entraApp + `["hub/orders/send","hub/billing/read"]}`, "orders"},
		{"value by beginning", rule(App, "roles", "Events.*", "", "orders"), entraApp + `["Events.Anything"]}`, "orders"},
		{"value with a star itself", rule(App, "roles", `Events.\*`, "", "orders"), entraApp + `["Events.*"]}`, "orders"},
		{"star itself and another value", rule(App, "roles", `Events.\*`, "", "orders"), entraApp + `["Events.Send"]}`, ""},

		{"scp is no right of an app", rule(Any, "scp", "Events.Send", "", "*"), entraUser + `"idtyp":"app","scp":"Events.Send"}`, ""},
		{"role of an app is not a user's", rule(App, "roles", "Events.Send", "", "*"), entraUser + `"scp":"Events.Send","roles":["Events.Send"]}`, ""},
		{"role of a user alone", rule(User, "roles", "Events.Send", "", "*"), entraUser + `"scp":"User.Read","roles":["Events.Send"]}`, ""},
		{"role of a user alone, any kind", rule(Any, "roles", "Events.Send", "", "*"), entraUser + `"scp":"User.Read","roles":["Events.Send"]}`, ""},
		{"scope of a user", rule(User, "scp", "Events.Send", "", "orders"), entraUser + `"scp":"User.Read Events.Send"}`, "orders"},
		{"scope of a user, array", rule(User, "scp", "Events.Send", "", "orders"), entraUser + `"scp":["User.Read","Events.Send"]}`, "orders"},
		{"scope of a user, not it", rule(User, "scp", "Events.Send", "", "orders"), entraUser + `"scp":"User.Read Events.Sender"}`, ""},
		{"scope without the role", rule(User, "scp", "Events.Send", "Sender", "orders"), entraUser + `"scp":"Events.Send"}`, ""},
		{"scope with another role", rule(User, "scp", "Events.Send", "Sender", "orders"), entraUser + `"scp":"Events.Send","roles":["Reader"]}`, ""},
		{"scope with the role", rule(User, "scp", "Events.Send", "Sender", "orders"), entraUser + `"scp":"Events.Send","roles":["Reader","Sender"]}`, "orders"},
		{"user's rule for an app", rule(User, "roles", "Events.Send", "", "*"), entraApp + `["Events.Send"]}`, ""},
		{"app needs no role beside", rule(Any, "scope", "send", "Sender", "orders"), `{"sub":"c","client_id":"c","scope":"send"}`, "orders"},

		{"scope of an app", rule(App, "scope", "send:<hub>", ""), `{"sub":"c","client_id":"c","scope":"send:orders send:billing"}`, "orders billing"},
		{"scope of all hubs", rule(App, "scope", `send:\*`, "", "*"), `{"sub":"c","client_id":"c","scope":"send:*"}`, "orders orders-eu Orders billing"},
		{"permissions", rule(Any, "permissions", "send", "", "orders"), `{"sub":"s","azp":"c","permissions":["send"]}`, "orders"},
		{"path", rule(Any, "realm_access.roles", "sender", "", "orders"), `{"sub":"s","azp":"c","scope":"a","realm_access":{"roles":["sender"]}}`, "orders"},
		{"path with dots in a name", rule(Any, "resource_access.my.app.roles", "sender", "", "orders"), `{"sub":"s","scope":"a","resource_access":{"my.app":{"roles":["sender"]}}}`, "orders"},
		{"name with dots before path", rule(Any, "https://a.example/roles", "sender", "", "orders"), `{"sub":"s","scope":"a","https://a.example/roles":["sender"]}`, "orders"},
		{"path through a string", rule(Any, "realm_access.roles", "sender", "", "orders"), `{"sub":"s","scope":"a","realm_access":"roles"}`, ""},
		{"path to nothing", rule(Any, "realm_access.roles", "sender", "", "orders"), `{"sub":"s","scope":"a","realm_access":{"Roles":["sender"]}}`, ""},
		{"claim in other case", rule(Any, "Scope", "send", "", "orders"), `{"sub":"s","scope":"send"}`, ""},
		{"subject", rule(Any, "sub", "s", "", "orders"), `{"sub":"s","scope":"a"}`, "orders"},

		// Names of hubs that look like one.
		{"homoglyph", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"send:оrders"}`, ""},
		{"accent in one character", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"send:\u00f6rders"}`, ""},
		{"accent in two characters", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"send:o\u0308rders"}`, ""},
		{"mark of direction", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"send:orders\u200f"}`, ""},
		{"escaped letters are letters", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"send:\u006frders"}`, "orders"},
		{"line end between scopes is none", rule(Any, "scope", "send:<hub>", ""), `{"sub":"s","scope":"x\u0000send:orders"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := principalOf(t, tt.claims, tt.rule)
			var allowed []string
			for _, hub := range []string{"orders", "orders-eu", "Orders", "billing"} {
				if _, ok := p.Allows(hub, Send); ok {
					allowed = append(allowed, hub)
				}
				if _, ok := p.Allows(hub, Send+1); ok {
					t.Errorf("another action is allowed in %s", hub)
				}
			}
			if got := strings.Join(allowed, " "); got != tt.hubs {
				t.Errorf("allowed in %q, want %q", got, tt.hubs)
			}
			for _, hub := range []string{"", "*", "ord/ers", "оrders", "orders ", "orders\x00", strings.Repeat("o", 257)} {
				if _, ok := p.Allows(hub, Send); ok {
					t.Errorf("%q is allowed and no hub's name", hub)
				}
			}
		})
	}
}

func TestFirstRuleSaysTheLimit(t *testing.T) {
	t.Parallel()
	narrow, wide := sendRule(), sendRule()
	narrow.Hubs, narrow.Rate = []string{"orders"}, 10
	wide.BytesPerSecond = 1 << 20
	p := principalOf(t, `{"sub":"s","scope":"Events.Send.orders Events.Send.billing"}`, narrow, wide)
	if limit, ok := p.Allows("orders", Send); !ok || limit != (Limit{Rule: 0, Rate: 10}) {
		t.Errorf("orders: %+v %v", limit, ok)
	}
	if limit, ok := p.Allows("billing", Send); !ok || limit != (Limit{Rule: 1, BytesPerSecond: 1 << 20}) {
		t.Errorf("billing: %+v %v", limit, ok)
	}
}

func TestRulesOfOtherIssuers(t *testing.T) {
	t.Parallel()
	foreign := sendRule()
	foreign.Issuer = "https://other.example"
	v := newVerifier(t, Options{
		Issuers: []Issuer{
			{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)},
			{URL: foreign.Issuer, Audiences: []string{audience}, Keys: publicSet(t)},
		},
		Rules: []Rule{foreign}, Clock: still{clock.System, now},
	})
	f := newForge(t, "ec", "ES256", now)
	own, err := verify(v, f.text())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := own.Allows("orders", Send); ok {
		t.Error("allowed by another issuer's rule")
	}
	f.claims.set("iss", quote(foreign.Issuer))
	other, err := verify(v, f.text())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := other.Allows("orders", Send); !ok {
		t.Error("not allowed by its own rule")
	}
	if own.ID() == other.ID() {
		t.Errorf("two issuers' principals are both %q", own.ID())
	}
}

func TestPrincipalID(t *testing.T) {
	t.Parallel()
	ids := make(map[string]string)
	for _, claims := range []string{
		`{"sub":"a","scope":"x"}`, `{"sub":"b","scope":"x"}`, `{"client_id":"a","scope":"x"}`, `{"sub":"client=a","scope":"x"}`, `{"sub":"A","scope":"x"}`,
	} {
		id := principalOf(t, claims, sendRule()).ID()
		if before, ok := ids[id]; ok {
			t.Errorf("%s and %s are both %q", before, claims, id)
		}
		ids[id] = claims
	}
	first, second := principalOf(t, `{"sub":"a","client_id":"x","jti":"1"}`, sendRule()), principalOf(t, `{"sub":"a","client_id":"x","jti":"2"}`, sendRule())
	if first.ID() != second.ID() || first.TokenID == second.TokenID {
		t.Errorf("%q %q, tokens %q %q", first.ID(), second.ID(), first.TokenID, second.TokenID)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	app, user, role := sendRule(), sendRule(), sendRule()
	app.Kind, app.Claim = App, "roles"
	role.Kind, role.Claim, role.Value, role.Role, role.Hubs = User, "scp", "Events.*", "Sender", []string{"secret-hub"}
	p := principalOf(t, `{"sub":"s","client_id":"c","scope":"nothing"}`, app, user, user, role)
	e := p.Refuse("orders", Send)
	want := `the token gives no right to send to this hub; what may give it: scope Events.Send.orders, or scp Events.... with roles Sender`
	if e.Status != 403 || e.Code != "insufficient_scope" || e.Reason != NoRight || e.Text != want {
		t.Errorf("%+v", e)
	}
	if got := p.Refuse("\"\r\nX: y", Send).Challenge("evhub"); strings.ContainsAny(got, "\r\n") || !strings.Contains(got, "Events.Send.<hub>") {
		t.Errorf("%q", got)
	}
}

// Both versions of Entra's tokens, as a registration may ask for.
func TestEntra(t *testing.T) {
	t.Parallel()
	const tenant = "8f1dd4b2-0c5f-4a57-9d3c-0a1b2c3d4e5f"
	issuers := Entra(tenant, "api://events", "events-client-id")
	if issuers[0].URL == issuers[1].URL || issuers[0].KeysURL == issuers[1].KeysURL {
		t.Errorf("%+v", issuers)
	}
	var rules []Rule
	for i := range issuers {
		issuers[i].KeysURL, issuers[i].Keys = "", publicSet(t)
		rules = append(rules, Rule{Issuer: issuers[i].URL, Kind: App, Claim: "roles", Value: "Events.Send", Hubs: []string{"*"}, Actions: []Action{Send}})
	}
	v := newVerifier(t, Options{Issuers: issuers, Rules: rules, Clock: still{clock.System, now}})
	for i, aud := range []string{"api://events", "events-client-id"} {
		f := newForge(t, "rsa", "RS256", now)
		f.header.set("typ", `"JWT"`)
		f.claims = nil
		for name, value := range map[string]string{"iss": issuers[i].URL, "aud": aud, "tid": tenant, "oid": "o", "sub": "o", "azp": "c", "uti": "id"} {
			f.claims.add(name, quote(value))
		}
		f.claims.add("roles", `["Events.Send"]`)
		f.claims.add("iat", stamp(now))
		f.claims.add("exp", stamp(now.Add(3600e9)))
		p, err := verify(v, f.text())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Allows("orders", Send); !ok || p.Kind != App || p.TokenID != "id" {
			t.Errorf("%+v", p)
		}
		for _, other := range []string{`"another"`, `""`} {
			f.claims.set("tid", other)
			_, err = verify(v, f.text())
			wantRefused(t, err, 401, WrongTenant)
		}
		f.claims.remove("tid")
		_, err = verify(v, f.text())
		wantRefused(t, err, 401, WrongTenant)
	}
}

func TestHubNames(t *testing.T) {
	t.Parallel()
	good := []string{"a", "A.b_c-9", ".", strings.Repeat("x", 256)}
	bad := []string{"", "a/b", "a b", "ä", "a\n", "*", "<hub>", strings.Repeat("x", 257)}
	for _, name := range slices.Concat(good, bad) {
		if got, want := IsHubName(name), slices.Contains(good, name); got != want {
			t.Errorf("%.20q: %v, want %v", name, got, want)
		}
	}
}

func TestOnlyHubsAreNamed(t *testing.T) {
	t.Parallel()
	v, err := parseValue("send:<hub>")
	if err != nil {
		t.Fatal(err)
	}
	for have, want := range map[string]bool{"send:orders": true, "send:*": false, "send:": false, "send:a/b": false, "orders": false} {
		if _, ok := v.match(have); ok != want {
			t.Errorf("%q: %v, want %v", have, ok, want)
		}
	}
}
