package deploy_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

// sample is a decoded token of docs/OPERATIONS.md, with what the page says of it.
type sample struct {
	kind, allows, refuses string
	header, claims        map[string]any
}

var (
	sampleBlock = regexp.MustCompile("(?s)<!-- token: ([^>]*) -->\n```json\n(.*?)```")
	sampleWord  = regexp.MustCompile(`(kind|allows|refuses)=(\S+)`)
)

func samples(t *testing.T) []sample {
	t.Helper()
	var list []sample
	for _, block := range sampleBlock.FindAllSubmatch(read(t, operations), -1) {
		var s sample
		for _, word := range sampleWord.FindAllSubmatch(block[1], -1) {
			*map[string]*string{"kind": &s.kind, "allows": &s.allows, "refuses": &s.refuses}[string(word[1])] = string(word[2])
		}
		parts := json.NewDecoder(bytes.NewReader(block[2]))
		if err := errors.Join(parts.Decode(&s.header), parts.Decode(&s.claims)); err != nil {
			t.Fatalf("%v in %s", err, block[2])
		}
		list = append(list, s)
	}
	return list
}

// entra is a verifier of the rules in kubernetes.yaml, whose tenant signs with a key of the test.
type entra struct {
	*jwt.Verifier
	key *rsa.PrivateKey
}

func newEntra(t *testing.T) entra {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	issuers, rules := clusterConfig(t).Trust()
	for i := range issuers {
		issuers[i].KeysURL, issuers[i].Keys = "", keySet(t, key.Public(), "Xr9aWf0PqLk2")
	}
	v, err := jwt.New(jwt.Options{Issuers: issuers, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return entra{v, key}
}

// verify checks a token of these claims that is valid now.
func (e entra) verify(t *testing.T, s sample) (*jwt.Principal, error) {
	t.Helper()
	return e.Verify(t.Context(), []string{"Bearer " + sign(t, e.key, s.header, s.claims)})
}

// TestEntraTokens: the page's tokens are admitted as the page says.
func TestEntraTokens(t *testing.T) {
	t.Parallel()
	e, list := newEntra(t), samples(t)
	if len(list) != 4 {
		t.Fatalf("the page has %d tokens; of apps and users, versions 1 and 2, there are 4", len(list))
	}
	for _, s := range list {
		name := s.kind + " " + s.claims["ver"].(string)
		p, err := e.verify(t, s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Kind.String() != s.kind || p.Client == "" || p.TokenID == "" {
			t.Errorf("%s is taken for %s, client %q, token %q", name, p.Kind, p.Client, p.TokenID)
		}
		for hub := range strings.SplitSeq(s.allows, ",") {
			if _, ok := p.Allows(hub, jwt.Send); !ok {
				t.Errorf("%s may not send to %s", name, hub)
			}
		}
		if _, ok := p.Allows(s.refuses, jwt.Send); ok {
			t.Errorf("%s may send to %s", name, s.refuses)
		}
	}
}

// TestEntraRefusals has a row for each of the page's table.
func TestEntraRefusals(t *testing.T) {
	t.Parallel()
	e, list := newEntra(t), samples(t)
	app, user := list[0], list[2]
	const nobody = "00000000-0000-0000-0000-000000000000"
	page := string(read(t, operations))
	for _, row := range []struct {
		name   string
		of     sample
		change map[string]any // nil takes a claim away
		reason jwt.Reason
	}{
		{"a program without any role", app, map[string]any{"roles": nil}, jwt.WrongType},
		{"a program with the role of another hub", app, map[string]any{"roles": []string{"Events.Send.invoices"}}, jwt.NoRight},
		{"a person with the scope and without `Publisher`", user, map[string]any{"roles": nil}, jwt.NoRight},
		{"a person with `Publisher`, by a program with another scope", user, map[string]any{"scp": "User.Read"}, jwt.NoRight},
		{"for another API", app, map[string]any{"aud": "00000003-0000-0000-c000-000000000000"}, jwt.WrongAudience},
		{"an ID token", user, map[string]any{"scp": nil, "azp": nil, "nonce": "n-1"}, jwt.WrongType},
		{"of another tenant", app, map[string]any{"iss": "https://login.microsoftonline.com/" + nobody + "/v2.0"}, jwt.UnknownIssuer},
		{"with `iss` of our tenant and another `tid`", app, map[string]any{"tid": nobody}, jwt.WrongTenant},
	} {
		s := row.of
		s.claims = maps.Clone(s.claims)
		maps.Copy(s.claims, row.change)
		maps.DeleteFunc(s.claims, func(_ string, v any) bool { return v == nil })
		got := jwt.Reason(0)
		p, err := e.verify(t, s)
		if refused, ok := errors.AsType[*jwt.Error](err); ok {
			got = refused.Reason
		} else if _, may := p.Allows("orders", jwt.Send); !may {
			got = p.Refuse("orders", jwt.Send).Reason
		}
		if got != row.reason {
			t.Errorf("%s: %s and not %s (%v)", row.name, got, row.reason, err)
		}
		if !regexp.MustCompile(regexp.QuoteMeta("| "+row.name) + ".*`" + row.reason.String() + "`").MatchString(page) {
			t.Errorf("%s: the page does not say %s of it", row.name, row.reason)
		}
	}
}

// TestEntraPageShowsTheRules: what the page quotes is what kubernetes.yaml has.
func TestEntraPageShowsTheRules(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)```yaml\n(issuers:.*?)```").FindSubmatch(read(t, operations))
	if block == nil {
		t.Fatal("the page shows no issuers and rules")
	}
	var quoted, whole struct{ Issuers, Rules any }
	if err := yaml.Unmarshal(block[1], &quoted); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(cluster(t)["ConfigMap"].Data["gateway.yaml"]), &whole); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, quoted), asJSON(t, whole); got != want {
		t.Errorf("the page has\n%s\nand kubernetes.yaml\n%s", got, want)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
