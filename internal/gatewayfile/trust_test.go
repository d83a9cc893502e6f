package gatewayfile

import (
	"errors"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

// trustFile has issuers and rules whose places in the file and in what package jwt takes differ.
const trustFile = `
targets: {b: {broker: {address: "127.0.0.1:5672"}}}
routes: {h: {target: b}}
issuers:
  - {name: staff, entra: 11111111-2222-3333-4444-555555555555, audiences: [a]}
  - {name: partner, url: "https://partner.example", keysFile: k.pem, audiences: [a], algorithms: [EdDSA, ES256]}
rules:
  - {issuer: staff, kind: app, claim: roles, value: v, hubs: [h]}
  - {issuer: partner, kind: app, claim: roles, value: v, hubs: [h, "x*"]}
`

// TestExplain wants what package jwt refuses to be told in the words of the file. Parse finds all but what happens to key files behind it.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(o *jwt.Options)
		want   string
	}{
		{"no key file", func(*jwt.Options) {}, "issuers[1].keysFile: open /no/such/dir/k.pem"},
		{"no issuers", func(o *jwt.Options) { o.Issuers = nil }, "issuers: at least one"},
		{"no rules", func(o *jwt.Options) { o.Rules = nil }, "rules: at least one"},
		{"tenant", func(o *jwt.Options) { o.Issuers[1].URL = "a b" }, "issuers[0].entra: "},
		{"issuer", func(o *jwt.Options) { o.Issuers[2].URL = "a b" }, "issuers[1].url: "},
		{"http", func(o *jwt.Options) { o.Issuers[2].KeysFile, o.Issuers[2].URL = "", "http://localhost" }, "issuers[1].url: "},
		{"issuer twice", func(o *jwt.Options) { o.Issuers[2].URL = o.Issuers[0].URL }, "issuers[1].url: "},
		{"two sources of keys", func(o *jwt.Options) { o.Issuers[2].KeysURL = "https://x" }, "issuers[1].keysUrl: "},
		{"audience", func(o *jwt.Options) { o.Issuers[2].Audiences = nil }, "issuers[1].audiences: "},
		{"algorithm", func(o *jwt.Options) { o.Issuers[2].Algorithms = []string{"ES256", "none"} }, "issuers[1].algorithms[1]: "},
		{"leeway", func(o *jwt.Options) { o.Issuers[2].Leeway = -1 }, "issuers[1].leeway: "},
		{"lifetime", func(o *jwt.Options) { o.Issuers[2].LifetimeMax = -1 }, "issuers[1].lifetimeMax: "},
		{"rule's issuer", func(o *jwt.Options) { o.Rules[2].Issuer = "x" }, "rules[1].issuer: "},
		{"kind", func(o *jwt.Options) { o.Rules[1].Kind = 0 }, "rules[0].kind: "},
		{"claim", func(o *jwt.Options) { o.Rules[2].Claim = "" }, "rules[1].claim: "},
		{"scope of an app", func(o *jwt.Options) { o.Rules[2].Claim = "scp" }, "rules[1].claim: "},
		{"role of an app", func(o *jwt.Options) { o.Rules[2].Role = "r" }, "rules[1].role: "},
		{"value", func(o *jwt.Options) { o.Rules[2].Value = "*a" }, "rules[1].value: "},
		{"no hubs", func(o *jwt.Options) { o.Rules[2].Hubs = nil }, "rules[1].hubs: "},
		{"hub", func(o *jwt.Options) { o.Rules[2].Hubs = []string{"h", "/"} }, "rules[1].hubs[1]: "},
		{"action", func(o *jwt.Options) { o.Rules[2].Actions = []jwt.Action{9} }, "rules[1].actions[0]: "},
		{"rate", func(o *jwt.Options) { o.Rules[2].Rate = math.NaN() }, "rules[1].rate: "},
		{"bytes", func(o *jwt.Options) { o.Rules[2].BytesPerSecond = -1 }, "rules[1].bytesPerSecond: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse("/no/such/dir/g.yaml", []byte(trustFile))
			if err != nil {
				t.Fatal(err)
			}
			o := jwt.Options{}
			o.Issuers, o.Rules = c.Trust()
			row.change(&o)
			v, err := jwt.New(o)
			if err == nil {
				v.Close()
				t.Fatal("package jwt takes it")
			}
			got := c.Explain(err).Error()
			if !strings.HasPrefix(got, row.want) {
				t.Errorf("%s, want %s", got, row.want)
			}
			if name := goName().FindString(got); name != "" {
				t.Errorf("%s, which nobody wrote, in: %s", name, got)
			}
		})
	}
	if other := errors.New("other"); new(Config).Explain(other) != other {
		t.Error("another error is not itself any more")
	}
}

// goName finds the fields of package jwt's structs that a reader of the file would not know.
func goName() *regexp.Regexp {
	names := []string{"Issuers", "Rules", "Insecure", "App", "User", "Any"}
	for _, s := range []reflect.Type{reflect.TypeFor[jwt.Issuer](), reflect.TypeFor[jwt.Rule]()} {
		for f := range s.NumField() {
			names = append(names, s.Field(f).Name)
		}
	}
	return regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b`)
}

// TestSameNames is what Explain goes by.
func TestSameNames(t *testing.T) {
	t.Parallel()
	notInTheFile := []string{"Keys"}
	for theirs, ours := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[jwt.Issuer](): reflect.TypeFor[Issuer](), reflect.TypeFor[jwt.Rule](): reflect.TypeFor[Rule](),
	} {
		for i := range theirs.NumField() {
			name := theirs.Field(i).Name
			if f, ok := ours.FieldByName(name); (!ok || f.Tag.Get("key") == "") && !slices.Contains(notInTheFile, name) {
				t.Errorf("%s.%s has no namesake in %s with a key", theirs, name, ours)
			}
		}
	}
}

// wantTaken wants package jwt to take what Parse has taken, key files aside, which are Load's.
func wantTaken(t *testing.T, c *Config) {
	t.Helper()
	o := jwt.Options{Client: &http.Client{Transport: nowhere{}}}
	o.Issuers, o.Rules = c.Trust()
	for i := range o.Issuers {
		if o.Issuers[i].KeysFile != "" {
			o.Issuers[i].KeysFile, o.Issuers[i].KeysURL = "", "https://keys.example"
		}
	}
	v, err := jwt.New(o)
	if err != nil {
		t.Fatalf("taken here, and then not: %s", c.Explain(err))
	}
	v.Close()
}

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }
