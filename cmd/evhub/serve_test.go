package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/config"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServeJSONLine(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "orders:4")
	want := "Endpoint=sb://" + s.AMQP + ";SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
	if s.ConnectionString != want {
		t.Errorf("connection string %s, want %s", s.ConnectionString, want)
	}
	answer, err := http.Get(s.Admin + "/health")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("health: %s", answer.Status)
	}
	evhub(t, s.env, "", "hubs", "eh1", "orders").ok(t) // they exist once the line is there
	s.stop()
	<-s.ended
	if s.code != exitDone {
		t.Errorf("exit code %d: %s", s.code, s.people)
	}
	if text := s.people.String(); !strings.Contains(text, "evhub: ready in ") || !strings.Contains(text, "\n"+readinessLine+"\n") {
		t.Errorf("standard error: %s", text)
	}
}

// bannerOf runs serve until it has printed its banner.
func bannerOf(t *testing.T, e env, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, stdout := io.Pipe()
	var errw safeBuffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"evhub", "serve", "--listen-api", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0"}, args...), strings.NewReader(""), stdout, &errw, e.get)
		stdout.Close()
	}()
	var text bytes.Buffer
	for b := make([]byte, 4096); !strings.Contains(text.String(), readinessLine); {
		n, err := out.Read(b)
		text.Write(b[:n])
		if err != nil {
			t.Fatalf("serve ended before it was ready: %s%s", text.String(), errw.String())
		}
	}
	stop()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d: %s", c, errw.String())
	}
	return text.String()
}

func TestServeBanner(t *testing.T) {
	t.Parallel()
	text := bannerOf(t, nil, "--listen-amqp", "localhost:0", "--hub", "Orders:4:Audit")
	form := regexp.MustCompile(`^evhub: ready in \d+ ms
  AMQP    amqp://localhost:(\d+)    hub eh1, 2 partitions, groups \$Default cg1
                                  +hub orders, 4 partitions, groups \$Default audit
  API     http://127\.0\.0\.1:\d+/v1/hubs/eh1/messages
  ADMIN   http://127\.0\.0\.1:\d+ +/health /metrics
  Endpoint=sb://localhost:(\d+);SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;
  try     evhub send --connection-string 'Endpoint=sb://localhost:(\d+);[^']*' eh1 '{"Hello":"World!"}'
          curl -H "Authorization: Bearer \$\(evhub token jwt --send eh1 --issuer http://127\.0\.0\.1:\d+/issuer\)" [^\n]+ http://127\.0\.0\.1:\d+/v1/hubs/eh1/messages
          evhub receive --connection-string 'Endpoint=sb://localhost:(\d+);[^']*' eh1
Emulator Service is Successfully Up!
$`)
	m := form.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s", text)
	}
	for _, port := range m[1:] {
		if port != m[1] || port == "0" {
			t.Errorf("ports %v", m[1:])
		}
	}
}

const ownPolicies = `{
	// people paste such files
	"UserConfig": {"NamespaceConfig": [{"Type": "EventHub", "Name": "emulatorNs1", "Entities": [
		{"Name": "Orders", "PartitionCount": "3", "ConsumerGroups": []},
	]}], "LoggingConfig": {"Type": "Console"}},
	"Evhub": {"Policies": [{"Name": "app", "Key": "a-secret-key", "Rights": ["Send", "Listen"]}]},
}`

func TestServeHidesOwnKeys(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "Config.json", ownPolicies)
	text := bannerOf(t, env{"EVHUB_CONFIG": path}, "--listen-amqp", "127.0.0.1:0", "--log-level", "debug")
	for _, want := range []string{"hub orders, 3 partitions, groups $Default\n", "SharedAccessKeyName=app;SharedAccessKey=***;", "key     of policy app: in " + path} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in: %s", want, text)
		}
	}
	if strings.Contains(text, "a-secret-key") || strings.Contains(text, "try") {
		t.Errorf("%s", text)
	}

	s := serve(t, "--config", path, "--log-level", "debug")
	if !strings.Contains(s.ConnectionString, "SharedAccessKey=***;") {
		t.Errorf("--json gives %s", s.ConnectionString)
	}
	good := strings.Replace(s.ConnectionString, "***", "a-secret-key", 1)
	evhub(t, nil, "", "send", "orders", "hello", "--connection-string", good).ok(t)
	evhub(t, s.env, "", "send", "orders", "hello").fails(t, exitFailed, "not authorized")
	development := "Endpoint=sb://" + s.AMQP + ";SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
	evhub(t, nil, "", "send", "orders", "hello", "--connection-string", development).fails(t, exitFailed, "not authorized")
	if log := s.people.String(); strings.Contains(log, "a-secret-key") {
		t.Errorf("the log has the key: %s", log)
	}
}

func TestServeDiesWithStdin(t *testing.T) {
	t.Parallel()
	s := serve(t, "--die-with-stdin")
	evhub(t, nil, "", "health", s.Admin).ok(t)
	s.stdin.Close()
	<-s.ended
	if s.code != exitDone {
		t.Errorf("exit code %d: %s", s.code, s.people)
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	wrong := writeFile(t, "Config.json", "{\n \"UserConfig\": {\"NamespaceConfig\": [{\"Name\": \"ns\", \"Entities\": [\n"+
		"  {\"Name\": \"eh1\", \"PartitionCount\": 0},\n  {\"Name\": \"eh2\"}]}]}}")
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"busy AMQP port", []string{"--listen-amqp", busy.Addr().String()},
			[]string{"AMQP cannot listen on " + busy.Addr().String() + ": the port is taken", "evhub serve --listen-amqp 127.0.0.1:0"}},
		{"busy admin port", []string{"--listen-amqp", "127.0.0.1:0", "--listen-admin", busy.Addr().String()},
			[]string{"ADMIN cannot listen on " + busy.Addr().String() + ": the port is taken", "evhub serve --listen-admin 127.0.0.1:0"}},
		{"beyond loopback", []string{"--listen-amqp", "0.0.0.0:0"}, []string{"can be reached from other machines", "--dev", "Evhub.Policies"}},
		{"mistakes in the file", []string{"--config", wrong},
			[]string{wrong + ":3:37: UserConfig.NamespaceConfig[0].Entities[0].PartitionCount: 0 is less than 1", wrong + ":4:"}},
		{"no such file", []string{"--config", wrong + "x"}, []string{wrong + "x: there is no such file"}},
		{"log file", []string{"--log-file", t.TempDir()}, []string{"--log-file: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := evhub(t, nil, "", append([]string{"serve"}, tt.args...)...)
			r.fails(t, exitFailed, tt.says...)
			if r.out != "" {
				t.Errorf("standard output: %s", r.out)
			}
		})
	}
}

func TestServeBeyondLoopbackInDevelopment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env  env
		args []string
	}{
		{env{}, []string{"--dev"}},
		{env{"EVHUB_DEV": "1"}, nil},
		{env{"EVHUB_DEV": "true", "ACCEPT_EULA": "Y", "BLOB_SERVER": "azurite", "METADATA_SERVER": "azurite"}, nil},
	} {
		text := bannerOf(t, tt.env, append(tt.args, "--listen-amqp", "0.0.0.0:0")...)
		if !strings.Contains(text, "Endpoint=sb://localhost:") {
			t.Errorf("%s", text)
		}
	}
	evhub(t, env{"EVHUB_DEV": "0"}, "", "serve", "--listen-amqp", "0.0.0.0:0").fails(t, exitFailed, "--dev")
}

func TestServeLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broker.log")
	s := serve(t, "--log-file", path, "--log-format", "json", "--log-level", "debug")
	evhub(t, s.env, "", "send", "eh1", "hello").ok(t)
	s.stop()
	<-s.ended
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(file) {
		var record struct{ Time, Level, Msg string }
		if err := json.Unmarshal(line, &record); err != nil || record.Msg == "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	for name, log := range map[string]string{"file": string(file), "standard error": s.people.String()} {
		if !strings.Contains(log, `"msg":"connection open"`) {
			t.Errorf("%s: %s", name, log)
		}
	}
}

func TestColourIsForTerminals(t *testing.T) {
	t.Parallel()
	s := serving{app: &app{errw: new(bytes.Buffer), getenv: env{}.get}}
	if s.colour() {
		t.Error("colour in a buffer")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s.errw = file
	if s.colour() {
		t.Error("colour in a file")
	}
}

func TestFlagsCountBeforeTheFile(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "Config.json", `{"Evhub": {"Memory": "2MiB", "Retention": "2h", "Listeners": {"AMQP": "127.0.0.1:1", "Admin": "127.0.0.1:2"}}}`)
	fromFile := settings{file: path}
	c, used, err := fromFile.load(env{}.get)
	if err != nil || used != path {
		t.Fatalf("%s: %v", used, err)
	}
	if l := c.Evhub.Listeners; c.Evhub.Memory != 2<<20 || c.Evhub.Retention.Hours() != 2 || l.AMQP[0] != "127.0.0.1:1" || l.Admin[0] != "127.0.0.1:2" {
		t.Errorf("from the file: %+v", c.Evhub)
	}
	flags := settings{file: path, memory: "3MiB", retention: "3h", amqp: []string{"127.0.0.1:3", "[::1]:3"}, admin: []string{"127.0.0.1:4"}}
	if c, _, err = flags.load(env{"EVHUB_CONFIG": "/no/such/file"}.get); err != nil {
		t.Fatal(err)
	}
	if l := c.Evhub.Listeners; c.Evhub.Memory != 3<<20 || c.Evhub.Retention.Hours() != 3 || len(l.AMQP) != 2 || l.Admin[0] != "127.0.0.1:4" {
		t.Errorf("from flags: %+v", c.Evhub)
	}
	twice := settings{file: writeFile(t, "Config.json", strings.ReplaceAll(ownPolicies, "Orders", "eh1")), hubs: []string{"a", "eh1:4"}}
	if _, _, err = twice.load(env{}.get); err == nil || err.Error() != `--hub eh1:4: there is a hub "eh1" already, from `+twice.file {
		t.Errorf("a hub of flag and file: %v", err)
	}
	instead := settings{hubs: []string{"a", "eh1:4"}}
	if c, _, err = instead.load(env{}.get); err != nil || len(c.Namespaces[0].Hubs) != 2 || c.Namespaces[0].Hubs[0].Partitions != 4 {
		t.Errorf("in place of the default hub: %+v, %v", c, err)
	}
	none := settings{}
	if c, used, err = none.load(env{}.get); err != nil || used != "" || c.Namespaces[0].Name != config.DefaultNamespace {
		t.Errorf("without a file: %s, %v", used, err)
	}
}
