package gatewayfile

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/goccy/go-yaml"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

func parseExample(t testing.TB) *Config {
	t.Helper()
	c, err := Parse("/etc/evhub/gateway.yaml", Example())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.Warnings {
		t.Errorf("warning: %s", w)
	}
	return c
}

func TestExample(t *testing.T) {
	t.Parallel()
	c := parseExample(t)
	preset := defaults()
	if c.Limits != preset.Limits || c.Drain != preset.Drain || c.Logging != preset.Logging || c.Batching != preset.Batching {
		t.Errorf("the example shows other defaults than there are:\n%+v", c)
	}
	wantListeners := Listeners{
		API: API{
			Address: "0.0.0.0:8080", TLS: &TLS{TerminatedBy: Ingress}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.244.7.0/28")}, ForwardedBy: "X-Forwarded-For",
		},
		Probes: Probes{Address: "0.0.0.0:8081"},
	}
	if !reflect.DeepEqual(c.Listeners, wantListeners) {
		t.Errorf("listeners %+v", c.Listeners)
	}
	wantTargets := map[string]Target{
		"azure": {Name: "azure", EventHubs: &EventHubs{
			Namespace: "contoso.servicebus.windows.net", Credential: WorkloadIdentity, Transport: OverWebSocket,
		}},
		"keyed": {Name: "keyed", EventHubs: &EventHubs{
			ConnectionString: Secret{file: "/etc/evhub/secrets/eventhubs-connection-string"}, Transport: OverAMQP,
		}},
		"kafka": {Name: "kafka", Kafka: &Kafka{
			Brokers: []string{"kafka-1.example.com:9093", "kafka-2.example.com:9093"}, TLS: &KafkaTLS{},
			SASL: &SASL{Mechanism: "SCRAM-SHA-512", Username: "notifications", Password: Secret{env: "KAFKA_PASSWORD"}},
		}},
		"local": {Name: "local", Broker: &Broker{Address: "127.0.0.1:5672"}},
	}
	if !reflect.DeepEqual(c.Targets, wantTargets) {
		t.Errorf("targets %+v", c.Targets)
	}
	wantRoutes := map[string]Route{
		"orders": {"azure", "prod-orders"}, "invoices": {"keyed", "invoices"}, "audit": {"kafka", "audit"}, "sandbox": {"local", "sandbox"},
	}
	if !reflect.DeepEqual(c.Routes, wantRoutes) {
		t.Errorf("routes %+v", c.Routes)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := Parse("g.yaml", []byte(complete("", "logging: {level: warn}\n")))
	if err != nil {
		t.Fatal(err)
	}
	preset := defaults()
	if !reflect.DeepEqual(c.Listeners, preset.Listeners) || c.Limits != preset.Limits || c.Logging.Level != slog.LevelWarn || c.Logging.AccessSample != 100 {
		t.Errorf("got %+v", c)
	}
	if c.Routes["orders"].Hub != "orders" {
		t.Errorf("a route without hub leads to %q", c.Routes["orders"].Hub)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	c, err := Parse("/d/g.yaml", []byte(complete("", `
limits: {body: 2048, batch: 1 MB, inFlight: "64mib", handlerTime: 1m30s, principalShare: .5, idempotency: {age: 2d}}
listeners:
  api: {tls: {certificate: a.crt, key: /k}, trustedProxies: [10.1.2.3/8, "::1"]}
targets:
  t:
    eventHubs: {connectionString: '${file:../x y}', hub: fixed, caFile: ca.pem}
routes: {a: {target: t}, b: {target: t, hub: other}, 2024: {target: t}}
`)))
	if err != nil {
		t.Fatal(err)
	}
	l, hubs := c.Limits, c.Targets["t"].EventHubs
	for name, ok := range map[string]bool{
		"sizes":   l.Body == 2048 && l.Batch == 1e6 && l.InFlight == 64<<20,
		"times":   l.HandlerTime == 90*time.Second && l.Idempotency.Age == 48*time.Hour,
		"share":   l.PrincipalShare == 0.5,
		"paths":   c.Listeners.API.TLS.Certificate == "/d/a.crt" && c.Listeners.API.TLS.Key == "/k" && hubs.CAFile == "/d/ca.pem",
		"secret":  hubs.ConnectionString == Secret{file: "/x y"},
		"proxies": fmt.Sprint(c.Listeners.API.TrustedProxies) == "[10.0.0.0/8 ::1/128]",
		"hubs":    c.Routes["a"].Hub == "fixed" && c.Routes["b"].Hub == "other" && c.Routes["2024"].Hub == "fixed",
	} {
		if !ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	c, err := Parse("/d/g.json", []byte("\ufeff"+`{
	"targets": {"t": {"broker": {"connectionString": "${file:s}"}}},
	"routes": {"orders": {"target": "t"}},
	"issuers": [{"url": "https:\/\/i.example", "audiences": ["\u0061pi"]}],
	"rules": [{"issuer": "https://i.example", "kind": "app", "claim": "roles", "value": "Send", "hubs": ["*"], "rate": 2.5}]
}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuers[0].URL != "https://i.example" || c.Issuers[0].Audiences[0] != "api" || c.Rules[0].Rate != 2.5 || c.Warnings != nil {
		t.Errorf("got %+v", c)
	}
	if got := c.Targets["t"].Broker.ConnectionString; got != (Secret{file: "/d/s"}) {
		t.Errorf("secret %s", got.file)
	}
}

// TestTrustIsTaken gives what passed here to package jwt, which has rules of its own.
func TestTrustIsTaken(t *testing.T) {
	t.Parallel()
	c := parseExample(t)
	issuers, rules := c.Trust()
	if len(issuers) != 3 || len(rules) != 5 {
		t.Fatalf("%d issuers, %d rules", len(issuers), len(rules))
	}
	wantRule := jwt.Rule{
		Issuer: "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", Kind: jwt.User, Claim: "scp", Value: "Events.Send",
		Role: "Publisher", Hubs: []string{"sandbox", "or*"}, Actions: []jwt.Action{jwt.Send}, Rate: 50, BytesPerSecond: 256 << 10,
	}
	if !reflect.DeepEqual(rules[3], wantRule) {
		t.Errorf("rule %+v", rules[3])
	}
	wantIssuer := jwt.Issuer{
		URL: "https://login.partner.example/realms/b2b", Audiences: []string{"https://notifications.example.com"},
		Algorithms: []string{"RS256", "ES256"}, Type: "at+jwt", Leeway: 30 * time.Second, LifetimeMax: 24 * time.Hour,
	}
	if !reflect.DeepEqual(issuers[2], wantIssuer) {
		t.Errorf("issuer %+v", issuers[2])
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, []byte(testKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range issuers { // nothing is fetched
		issuers[i].KeysURL, issuers[i].KeysFile = "", keys
	}
	v, err := jwt.New(jwt.Options{Issuers: issuers, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}

const testKeys = `{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},` +
	`{"kty": "EC", "crv": "P-256", "kid": "e", "use": "sig", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

func TestLooks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		string(Example()):                    true,
		`{"targets": {}, "routes": {}}`:      true,
		"# x\nrules:\n- {":                   true,
		`{"UserConfig": {"x": 1}}`:           false,
		`{"Evhub": {"listeners": {}}}`:       false,
		`// {"x"` + "\n{\"userconfig\": {}}": false,
		"":                                   false,
		"other: 1":                           false,
		"my.targets: 1":                      false,
	} {
		if got := Looks([]byte(text)); got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
	official, err := os.ReadFile("../config/testdata/official.json")
	if err != nil || Looks(official) {
		t.Errorf("the official file: %v", err)
	}
}

// TestHostile says that what a file can cost is bounded.
func TestHostile(t *testing.T) {
	t.Parallel()
	rep := func(s string) string { return strings.Repeat(s, 250<<10/len(s)) }
	deep := ""
	for i := 0; len(deep) < 100<<10; i++ {
		deep += strings.Repeat(" ", i) + "a:\n"
	}
	for name, text := range map[string]string{
		"keys": rep("a: b\n"), "brackets": rep("["), "dashes": rep("- "), "pairs": "{" + rep("a: b, ") + "}", "anchors": rep("&a "), "colons": rep(":"),
		"documents": rep("---\n"), "deep": deep, "long key": rep("k") + ": 1\n", "unknown": rep("lstners: 1\n"),
		"routes": "routes:\n" + strings.Repeat("  r: {target: x}\n", 4000), "issuers": "issuers:\n" + strings.Repeat("- {name: abcdefgh}\n", 6000),
	} {
		begun := time.Now()
		c, err := Parse("g.yaml", []byte(text))
		if c != nil || err == nil {
			t.Errorf("%s: got %v", name, c)
		} else if lines := strings.Count(err.Error(), "\n"); lines > problemsMax+1 || len(err.Error()) > 64<<10 {
			t.Errorf("%s: %d lines, %d bytes of problems", name, lines, len(err.Error()))
		}
		if took := time.Since(begun); took > 20*time.Second { // a second where nothing else runs
			t.Errorf("%s: took %s", name, took)
		}
	}
	if _, err := Parse("g.yaml", make([]byte, fileBytesMax+1)); err == nil || err.Error() != "g.yaml: is longer than 256KiB" {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Example())
	data, err := os.ReadFile("testdata/problems.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, scene := range strings.Split(string(data), "\n== ") {
		_, scene, _ = strings.Cut(scene, "\n")
		text, _, _ := strings.Cut(scene, "----")
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("g.yaml", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if c == nil {
			return
		}
		if len(c.Routes) == 0 || len(c.Targets) == 0 || len(c.Issuers) == 0 || len(c.Rules) == 0 {
			t.Fatalf("taken: %+v", c)
		}
		for name, r := range c.Routes {
			if _, ok := c.Targets[r.Target]; !ok || r.Hub == "" {
				t.Fatalf("route %s: %+v", name, r)
			}
		}
		if _, rules := c.Trust(); len(rules) < len(c.Rules) {
			t.Fatalf("rules got lost: %+v", c)
		}
		wantTaken(t, c)
	})
}

// TestSchema holds the schema against the structs: same keys, same words, same needs.
func TestSchema(t *testing.T) {
	t.Parallel()
	var document map[string]any
	if err := json.Unmarshal(Schema(), &document); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, document, document, reflect.TypeFor[Config](), "")
	schema := compiled(t)
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"the example":      {string(Example()), true},
		"the least":        {complete("", "cors: {}\n"), true},
		"an unknown key":   {complete("", "cros: {}\n"), false},
		"a literal secret": {complete("", "targets: {t: {broker: {connectionString: Endpoint=sb://x}}}\n"), false},
		"a wrong word":     {complete("", "logging: {level: loud}\n"), false},
		"a wrong type":     {complete("", "limits: {items: ten}\n"), false},
		"too many slots":   {complete("", "batching: {slots: 9}\n"), false},
		"two targets":      {complete("", "targets: {t: {broker: {}, kafka: {brokers: [a]}}}\n"), false},
		"nothing":          {"{}", false},
	} {
		var value any
		if err := yaml.Unmarshal([]byte(c.text), &value); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Parse("g.yaml", []byte(c.text)); (err == nil) != c.ok {
			t.Errorf("%s: Parse says %v", name, err)
		}
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(Schema())))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("gateway.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("gateway.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func sameKeys(t *testing.T, document, schema map[string]any, typ reflect.Type, path string) {
	t.Helper()
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			break
		}
		schema = document["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	switch {
	case typ.Kind() == reflect.Pointer:
		sameKeys(t, document, schema, typ.Elem(), path)
		return
	case typ.Kind() == reflect.Slice:
		sameKeys(t, document, schema["items"].(map[string]any), typ.Elem(), path+"[]")
		return
	case typ.Kind() == reflect.Map:
		sameKeys(t, document, schema["additionalProperties"].(map[string]any), typ.Elem(), path+".*")
		return
	}
	properties, _ := schema["properties"].(map[string]any)
	if typ.Kind() != reflect.Struct || properties == nil {
		return
	}
	fields, known := fieldsOf(typ)
	if keys := slices.Sorted(maps.Keys(properties)); !slices.Equal(keys, slices.Sorted(slices.Values(known))) {
		t.Errorf("%s: the schema has the keys %v, the struct %v", path, keys, known)
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the schema lets unknown keys pass", path)
	}
	for _, key := range known {
		field, property := typ.Field(fields[key]), properties[key].(map[string]any)
		_, needed := field.Tag.Lookup("need")
		if required, _ := schema["required"].([]any); needed != slices.Contains(required, any(key)) {
			t.Errorf("%s.%s: needed here %v", path, key, needed)
		}
		sameWords(t, field, property, path+"."+key)
		sameKeys(t, document, property, field.Type, path+"."+key)
	}
}

func sameWords(t *testing.T, field reflect.StructField, property map[string]any, path string) {
	t.Helper()
	if items, ok := property["items"].(map[string]any); ok {
		property = items
	}
	var words []string
	enum, _ := property["enum"].([]any)
	for _, word := range enum {
		words = append(words, word.(string))
	}
	if want := field.Tag.Get("of"); strings.Join(words, " ") != want && field.Type != reflect.TypeFor[slog.Level]() {
		t.Errorf("%s: the schema has the words %v, the struct %s", path, words, want)
	}
}
