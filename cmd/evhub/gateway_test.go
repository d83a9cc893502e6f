package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gatewayTo writes a configuration of the notification service between a broker's development issuer and the broker.
func gatewayTo(t *testing.T, s *server, more string) string {
	t.Helper()
	secret := writeFile(t, "connection-string", s.ConnectionString)
	return writeFile(t, "gateway.yaml", `
listeners: {api: {address: "127.0.0.1:0"}, probes: {address: "127.0.0.1:0"}}
targets:
  broker: {broker: {connectionString: "${file:`+secret+`}"}}
routes:
  orders: {target: broker, hub: eh1}
issuers:
  - {name: dev, url: "`+s.Issuer+`", audiences: [evhub-development], insecure: true}
rules:
  - {issuer: dev, kind: app, claim: scope, value: "send:<hub>"}
drain: {wait: 0s, total: 5s}
`+more)
}

// gateway is a running evhub gateway --json.
type runningGateway struct {
	API, Probes string

	stop  func()
	ended chan int // its exit code
	said  *safeBuffer
}

func startGateway(t *testing.T, config string) *runningGateway {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	g := &runningGateway{stop: stop, ended: make(chan int, 1), said: &safeBuffer{}}
	go func() {
		g.ended <- run(ctx, []string{"evhub", "gateway", "--json", "--config", config}, strings.NewReader(""), stdout, g.said, env{}.get)
		stdout.Close()
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("gateway ended: %s", g.said)
	}
	if err := json.Unmarshal(line, g); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return g
}

func (g *runningGateway) post(t *testing.T, hub, token, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+g.API+"/v1/hubs/"+hub+"/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return send(t, request)
}

func send(t *testing.T, request *http.Request) (status int, answer string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestGateway(t *testing.T) {
	t.Parallel()
	s := serve(t)
	g := startGateway(t, gatewayTo(t, s, "logging: {audit: true, accessSample: 1}"))
	token := strings.TrimSpace(evhub(t, nil, "", "token", "jwt", "--issuer", s.Issuer, "--send", "orders", "--client", "billing").ok(t))

	if status, answer := g.post(t, "orders", token, `{"foo":"bar"}`); status != 201 || !strings.Contains(answer, `"hub":"orders","id":"`) {
		t.Fatalf("%d %s; %s", status, answer, g.said)
	}
	if status, answer := g.post(t, "orders", "", `{}`); status != 401 || !strings.Contains(answer, "Authorization: Bearer") {
		t.Errorf("without a token: %d %s", status, answer)
	}
	if status, answer := g.post(t, "eh1", token, `{}`); status != 403 || !strings.Contains(answer, "send:eh1") {
		t.Errorf("a hub that is not the token's: %d %s", status, answer)
	}
	if got := bodies(s.events(t, "eh1")); len(got) != 1 || got[0] != `{"foo":"bar"}` {
		t.Errorf("stored: %q", got)
	}
	g.said.waitFor(t, "ready: every target was reached")
	for path, want := range map[string]string{"/livez": "", "/readyz": "", "/metrics": `evhub_target_messages_stored_total{target="broker",hub="eh1"} 1`} {
		request, err := http.NewRequest("GET", g.Probes+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := send(t, request); status != 200 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}

	g.stop()
	if code := <-g.ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, g.said)
	}
	said := g.said.String()
	if !strings.Contains(said, `"log":"audit"`) || strings.Contains(said, token) || strings.Contains(said, "SAS_KEY_VALUE") || strings.Contains(said, "bar") {
		t.Errorf("the log: %s", said)
	}
}

// TestServeRoutesToHubsThatCameLater: what evhub hubs creates is there over HTTP, and gone when it is deleted.
func TestServeRoutesToHubsThatCameLater(t *testing.T) {
	t.Parallel()
	s := serve(t)
	api := &runningGateway{API: strings.TrimPrefix(s.API, "http://")}
	e := env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString, "EVHUBTEST_URL": s.Admin}
	token := strings.TrimSpace(evhub(t, nil, "", "token", "jwt", "--issuer", s.Issuer, "--send", "late").ok(t))
	for range 2 {
		if status, answer := api.post(t, "late", token, `{}`); status != 404 || !strings.Contains(answer, "unknown-hub") {
			t.Errorf("a hub that is not there: %d %s", status, answer)
		}
		evhub(t, e, "", "hubs", "create", "late:1").ok(t)
		if status, answer := api.post(t, "late", token, `{}`); status != 201 || !strings.Contains(answer, `"sequence":0`) {
			t.Errorf("a hub that was created: %d %s", status, answer)
		}
		evhub(t, e, "", "hubs", "delete", "late").ok(t)
	}
}

func TestGatewayConfigurations(t *testing.T) {
	t.Parallel()
	evhub(t, nil, "", "gateway").fails(t, exitUsage, "--config gateway.yaml", "evhub gateway example")
	evhub(t, nil, "", "gateway", "--config", "none.yaml").fails(t, exitFailed, "none.yaml")

	dir := t.TempDir()
	example := evhub(t, nil, "", "gateway", "example").ok(t)
	path := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	// All is right with the example but that its secrets are not here.
	evhub(t, nil, "", "config", "check", path).fails(t, exitFailed, path+":", "KAFKA_PASSWORD", "eventhubs-connection-string")
	if schema := evhub(t, nil, "", "gateway", "schema").ok(t); !json.Valid([]byte(schema)) {
		t.Error("the schema is no JSON")
	}

	s := serve(t)
	good := gatewayTo(t, s, "")
	out := evhub(t, nil, "", "config", "check", good).ok(t)
	for _, want := range []string{": a configuration of gateway\n", "route orders to hub eh1 of target broker\n", "may send to the hub that it names\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
	evhub(t, nil, "", "config", "check", gatewayTo(t, s, "limts: {}")).fails(t, exitFailed, "gateway.yaml:12:1: limts", "limits")

	public := writeFile(t, "public", "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE")
	unsafe := writeFile(t, "gateway.yaml", strings.Replace(readFile(t, good), `{broker: {connectionString: "${file:`, `{eventHubs: {connectionString: "${file:`+public+`}"}} #`, 1))
	evhub(t, nil, "", "gateway", "--config", unsafe).fails(t, exitFailed, "public")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTokenJWTErrors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	evhub(t, nil, "", "token").fails(t, exitUsage, "say what kind of token", "evhub token jwt --send eh1")
	evhub(t, env{"EVHUB_ISSUER_URL": s.Issuer}, "", "token", "jwt").ok(t)
	evhub(t, nil, "", "token", "jwt", "--issuer", "http://127.0.0.1:1/issuer").fails(t, exitFailed, "127.0.0.1:1", "evhub serve")
	evhub(t, nil, "", "token", "jwt", "--issuer", s.Admin).fails(t, exitFailed, "issuer")
}

// TestGatewayLocal: the file that docs/OPERATIONS.md has people try works beside evhub serve.
func TestGatewayLocal(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/gateway-local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t)
	here := string(text)
	for local, own := range map[string]string{
		"127.0.0.1:8090": "127.0.0.1:0", "127.0.0.1:8081": "127.0.0.1:0", "127.0.0.1:5672": s.AMQP, "http://localhost:8080/issuer": s.Issuer,
	} {
		if !strings.Contains(here, local) {
			t.Errorf("the file has no %s", local)
		}
		here = strings.ReplaceAll(here, local, own)
	}
	g := startGateway(t, writeFile(t, "gateway-local.yaml", here))
	token := strings.TrimSpace(evhub(t, nil, "", "token", "jwt", "--issuer", s.Issuer, "--send", "orders").ok(t))
	if status, answer := g.post(t, "orders", token, `{"Hello":"World!"}`); status != 201 || !strings.Contains(answer, `"id":"`) {
		t.Errorf("%d %s; %s", status, answer, g.said)
	}
	if got := bodies(s.events(t, "eh1")); len(got) != 1 || got[0] != `{"Hello":"World!"}` {
		t.Errorf("stored: %q", got)
	}
	g.stop()
	if code := <-g.ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, g.said)
	}
}
