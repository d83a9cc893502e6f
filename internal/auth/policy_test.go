package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestScope(t *testing.T) {
	t.Parallel()
	ps, err := NewPolicies(
		Policy{Name: "all", Key: "key-of-all", Rights: Manage, Namespace: "ns"},
		Policy{Name: "one", Key: "key-of-hub", SecondaryKey: "second-of-hub", Rights: Send, Namespace: "ns", Hub: "Hub"},
		Policy{Name: "one", Key: "key-of-other", Rights: Listen, Namespace: "ns", Hub: "other"},
		Policy{Name: "one", Key: "key-elsewhere", Rights: Manage, Namespace: "ns2"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, policy, key, resource, audience, want string }{
		{"namespace token for a hub", "all", "key-of-all", "sb://h", "sb://h/hub", "ns  Manage"},
		{"namespace token for the namespace", "all", "key-of-all", "sb://h/", "", "ns  Manage"},
		{"hub token for its partition", "all", "key-of-all", "sb://h/hub", "sb://h/hub/Partitions/0", "ns hub Manage"},
		{"hub token, other case", "all", "key-of-all", "sb://h/HUB", "hub/Partitions/0", "ns hub Manage"},
		{"hub token for the namespace", "all", "key-of-all", "sb://h/hub", "", "wrong-scope"},
		{"hub token for another hub", "all", "key-of-all", "sb://h/hub", "sb://h/other", "wrong-scope"},
		{"hub token for a longer name", "all", "key-of-all", "sb://h/hub", "sb://h/hub2", "wrong-scope"},
		{"longer name for the hub", "all", "key-of-all", "sb://h/hub2", "sb://h/hub", "wrong-scope"},
		{"partition token for its hub", "all", "key-of-all", "sb://h/hub/Partitions/0", "sb://h/hub", "wrong-scope"},
		{"partition 1 for partition 10", "all", "key-of-all", "sb://h/hub/Partitions/1", "sb://h/hub/Partitions/10", "wrong-scope"},
		{"bare name", "all", "key-of-all", "hub", "sb://localhost/hub", "ns hub Manage"},
		{"bare name that is a host elsewhere", "all", "key-of-all", "example.org", "sb://localhost/hub", "wrong-scope"},
		{"bare host with a longer name", "all", "key-of-all", "local", "sb://localhost/hub", "wrong-scope"},
		{"host in the path of a full address", "all", "key-of-all", "sb://h/localhost", "sb://localhost/hub", "wrong-scope"},
		{"policy of a hub", "one", "key-of-hub", "sb://h/hub", "sb://h/hub", "ns hub Send"},
		{"its second key", "one", "second-of-hub", "sb://h/hub", "sb://h/hub", "ns hub Send"},
		{"it never grants more than the hub", "one", "key-of-hub", "sb://h", "sb://h/hub/Partitions/0", "ns hub Send"},
		{"nor the namespace", "one", "key-of-hub", "sb://h", "sb://h", "wrong-scope"},
		{"nor another hub", "one", "key-of-hub", "sb://h/other", "sb://h/other", "wrong-scope"},
		{"nor a longer name", "one", "key-of-hub", "sb://h/hub2", "sb://h/hub2", "wrong-scope"},
		{"it may grant less", "one", "key-of-hub", "sb://h/hub/publishers/a", "sb://h/hub/publishers/a", "ns hub/publishers/a Send"},
		{"same name on another hub", "one", "key-of-other", "sb://h/other", "sb://h/other", "ns other Listen"},
		{"same name in another namespace", "one", "key-elsewhere", "sb://h/hub", "sb://h/hub", "ns2 hub Manage"},
		{"key of another policy", "one", "key-of-all", "sb://h/hub", "sb://h/hub", "bad-signature"},
		{"empty key", "one", "", "sb://h/hub", "sb://h/hub", "bad-signature"},
	} {
		token := SignSAS(c.resource, c.policy, c.key, time.Unix(vectorExpiry, 0))
		if got := outcome(ps.Authenticate(KindSAS, token, c.audience, beforeExpiry)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	for _, c := range []struct{ name, policy, key, want string }{
		{"name and key", "all", "key-of-all", "ns  Manage"},
		{"of a hub", "one", "key-of-hub", "ns hub Send"},
		{"second key", "one", "second-of-hub", "ns hub Send"},
		{"same name, the other hub's key", "one", "key-of-other", "ns other Listen"},
		{"wrong key", "all", "key-of-al", "bad-signature"},
		{"empty key", "all", "", "bad-signature"},
		{"no such policy", "ALL", "key-of-all", "unknown-key"},
		{"nothing", "", "", "unknown-key"},
	} {
		if got := outcome(ps.Authenticate(KindPlain, c.key, c.policy, beforeExpiry)); got != c.want {
			t.Errorf("plain %s: got %s, want %s", c.name, got, c.want)
		}
	}
	if got := outcome(ps.Authenticate(KindJWT, "eyJhbGciOiJSUzI1NiJ9.e30.x", "hub", beforeExpiry)); got != "unsupported" {
		t.Errorf("a real JWT: %s", got)
	}
}

func outcome(g Grant, err error) string {
	if err != nil {
		return err.(*Error).Reason.String()
	}
	return fmt.Sprintf("%s %s %s", g.Namespace, g.Path, g.Rights)
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	ok := Policy{Name: "p", Key: "a-good-key", SecondaryKey: "second-key", Rights: Send, Namespace: "ns"}
	for _, c := range []struct {
		name string
		edit func(*Policy)
		want string
	}{
		{"no name", func(p *Policy) { p.Name = "" }, "the policy has no name"},
		{"no namespace", func(p *Policy) { p.Namespace = "" }, `policy "p" has no namespace`},
		{"no key", func(p *Policy) { p.Key = "" }, `policy "p" has no key`},
		{"no rights", func(p *Policy) { p.Rights = 0 }, `policy "p" has no rights; give it Send, Listen or Manage`},
		{"semicolon", func(p *Policy) { p.Key = "a;b" },
			`a key of policy "p" has a semicolon, or a space at an end, which no connection string can carry`},
		{"line end", func(p *Policy) { p.SecondaryKey = "key\n" },
			`a key of policy "p" has a semicolon, or a space at an end, which no connection string can carry`},
		{"there already", func(p *Policy) { p.Key, p.SecondaryKey = "new-key", "" }, `there are two policies "p" in the same place`},
		{"shared key", func(p *Policy) { p.Namespace, p.Key = "ns2", "second-key" },
			`two policies "p" share a key; a credential must belong to one of them`},
	} {
		ps, err := NewPolicies(ok)
		if err != nil {
			t.Fatal(err)
		}
		p := ok
		c.edit(&p)
		if err := ps.Add(p); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := NewPolicies(ok, ok); err == nil {
		t.Error("NewPolicies took two of the same")
	}
}

func TestPoliciesComeAndGo(t *testing.T) {
	t.Parallel()
	var ps Policies
	can := func(name string) bool {
		_, err := ps.Authenticate(KindPlain, "key-of-"+name, name, time.Time{})
		return err == nil
	}
	for _, p := range []Policy{
		{Name: "a", Key: "key-of-a", Rights: Send, Namespace: "s1"},
		{Name: "b", Key: "key-of-b", Rights: Send, Namespace: "s1", Hub: "hub"},
		{Name: "c", Key: "key-of-c", Rights: Send, Namespace: "s2"},
	} {
		if err := ps.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if ps.Remove("s1", "", "b") || ps.Remove("s2", "hub", "b") || !can("b") {
		t.Error("a policy of another place was removed")
	}
	if !ps.Remove("s1", "HUB", "b") || can("b") || ps.Remove("s1", "hub", "b") {
		t.Error("b was not removed")
	}
	ps.RemoveNamespace("s1")
	if can("a") || !can("c") {
		t.Error("RemoveNamespace took the wrong policies")
	}
}

func TestPoliciesConcurrently(t *testing.T) {
	t.Parallel()
	ps := development(t)
	token := SignSAS("sb://h/hub", RootKeyName, RootKey, time.Unix(vectorExpiry, 0))
	var wg sync.WaitGroup
	for i := range 4 {
		space := fmt.Sprintf("space%d", i)
		wg.Go(func() {
			for range 200 {
				// The shared name makes every goroutine replace the same slice.
				p := Policy{Name: RootKeyName, Key: "key-of-" + space, Rights: Send, Namespace: space}
				if err := ps.Add(p); err != nil {
					t.Error(err)
				}
				if got := outcome(ps.Authenticate(KindPlain, p.Key, p.Name, beforeExpiry)); got != space+"  Send" {
					t.Errorf("own policy: %s", got)
				}
				if got := outcome(ps.Authenticate(KindSAS, token, "hub", beforeExpiry)); got != "ns hub Manage" {
					t.Errorf("the other's policy: %s", got)
				}
				ps.RemoveNamespace(space)
			}
		})
	}
	wg.Wait()
}

func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	p := Policy{Name: "p", Key: "secret-1", SecondaryKey: "secret-2", Rights: Send, Namespace: "ns", Hub: "hub"}
	c := ConnectionString{Host: "h", KeyName: "p", Key: "secret-3"}
	s, err := ParseSAS("SharedAccessSignature sr=hub&sig=secret-4&se=1&skn=p")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, v := range []any{p, &p, []Policy{p}, c, s, struct{ P Policy }{p}, ConnectionString{Host: "h", Signature: "secret-5"}} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	if strings.Contains(out.String(), "secret") {
		t.Error(out.String())
	}
	if got := p.String(); got != "policy p of ns/hub (Send) key ***" {
		t.Error(got)
	}
	if got := s.String(); got != "SharedAccessSignature sr=hub&sig=***&se=1&skn=p" {
		t.Error(got)
	}
}
