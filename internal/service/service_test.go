package service

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/engine"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/issuer"
)

// world is a broker with hub orders of one partition, and an issuer.
type world struct {
	hub    *hub.Hub
	amqp   string
	issuer string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	e, err := engine.New(engine.Options{Policies: auth.DevelopmentPolicies("ns")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	ns, err := e.Hall.CreateNamespace("ns")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if w.hub, err = ns.CreateHub(hub.Spec{Name: "orders", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go e.Serve(ln) // ends with the engine
	w.amqp = ln.Addr().String()

	server := httptest.NewUnstartedServer(nil)
	w.issuer = "http://" + server.Listener.Addr().String() + "/issuer"
	i, err := issuer.New(issuer.Options{URL: w.issuer, Audience: "test"})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	return w
}

func (w *world) config(t *testing.T, amqp string) *gatewayfile.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	text := `
listeners: {api: {address: "127.0.0.1:0"}, probes: {address: "127.0.0.1:0"}}
targets: {broker: {broker: {address: "` + amqp + `"}}}
routes: {orders: {target: broker}}
issuers: [{url: "` + w.issuer + `", audiences: [test], insecure: true}]
rules: [{issuer: "` + w.issuer + `", kind: app, claim: scope, value: "send:<hub>"}]
drain: {wait: 0s, total: 5s}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := gatewayfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) start(t *testing.T) *Service {
	t.Helper()
	s, err := Start(t.Context(), Options{Config: w.config(t, w.amqp)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return s
}

func (w *world) token(t *testing.T) string {
	t.Helper()
	token, err := issuer.Request(t.Context(), http.DefaultClient, w.issuer, "billing", "send:orders")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// post sends one message, and gives the answer's members.
func post(t *testing.T, s *Service, token, key, body string) (status int, replayed bool, answer struct{ ID string }) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.APIAddress()+"/v1/hubs/orders/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(data, &answer) != nil {
		t.Fatalf("%s, %v", data, err)
	}
	return response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true", answer
}

// stored gives the ids of what is in the hub.
func (w *world) stored(t *testing.T) (ids []string) {
	t.Helper()
	var records eventlog.Records
	defer records.Release()
	if err := w.hub.PartitionAt(0).Log().Read(0, 1<<20, &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records.List {
		e, err := event.Open(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := e.Plain()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, plain.ID)
	}
	return ids
}

// TestTwoReplicas shows what is a replica's own: it answers a repeated request from memory, another replica stores the message again, under
// the same id, so that readers can tell.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, token := w.start(t), w.start(t), w.token(t)
	var ids [3]string
	for i, tt := range []struct {
		replica  *Service
		replayed bool
	}{{a, false}, {a, true}, {b, false}} {
		status, replayed, answer := post(t, tt.replica, token, "order-7", `{"n":7}`)
		if status != 201 || replayed != tt.replayed {
			t.Errorf("request %d: %d, replayed %t", i, status, replayed)
		}
		ids[i] = answer.ID
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("ids %q", ids)
	}
	if got := w.stored(t); len(got) != 2 || got[0] != ids[0] || got[1] != ids[0] {
		t.Errorf("stored %q", got)
	}
}

func ready(t *testing.T, s *Service) (status int, text string) {
	t.Helper()
	response, err := http.Get("http://" + s.ProbesAddress() + "/readyz")
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

func TestNotReadyBeforeTheTargetWasReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	s, err := Start(t.Context(), Options{Config: w.config(t, nobody.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := ready(t, s); status != 503 {
		t.Errorf("%d %s", status, text)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s.Shutdown(gone)
}

func TestRunDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := Start(t.Context(), Options{Config: w.config(t, w.amqp)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if status, _, _ := post(t, s, w.token(t), "", `{}`); status != 201 {
		t.Errorf("status %d", status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if nc, err := net.Dial("tcp", s.APIAddress()); err == nil {
		nc.Close()
		t.Error("the service still accepts")
	}
}

func TestStartSaysWhatCannotListen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.config(t, w.amqp)
	c.Listeners.Probes.Address = w.amqp // taken by the broker
	if _, err := Start(t.Context(), Options{Config: c}); err == nil || !strings.Contains(err.Error(), "listeners.probes.address: cannot listen on "+w.amqp) ||
		strings.Count(err.Error(), w.amqp) != 1 {
		t.Errorf("start: %v", err)
	}
}

// TestStartSaysWhichKeyFile has a key file go away after the configuration was read.
func TestStartSaysWhichKeyFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.config(t, w.amqp)
	c.Issuers[0].KeysFile = "/no/such/keys.pem"
	if _, err := Start(t.Context(), Options{Config: c}); err == nil || !strings.HasPrefix(err.Error(), "issuers[0].keysFile: open /no/such/keys.pem") {
		t.Errorf("start: %v", err)
	}
}

// TestMetricsBegin wants a series for what has not happened yet: a rate needs the zero before the first.
func TestMetricsBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var text strings.Builder
	w.start(t).writeMetrics(&text)
	for _, line := range []string{
		`evhub_tokens_refused_total{reason="bad_signature"} 0`,
		`evhub_tokens_refused_total{reason="no_right"} 0`,
		`evhub_issuer_load_failures_total{issuer="` + w.issuer + `"} 0`,
		`evhub_target_messages_failed_total{target="broker",hub="orders",reason="busy"} 0`,
		`evhub_target_messages_failed_total{target="broker",hub="orders",reason="unknown"} 0`,
		`evhub_target_waiting_bytes{target="broker",hub="orders"} 0`,
		`evhub_target_waiting_bytes_max{target="broker",hub="orders"} 67108864`,
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, text.String())
		}
	}
}

// TestRefusals wants no bound on addresses where there is but one.
func TestRefusals(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name string
		api  gatewayfile.API
		want float64
	}{
		{"callers come themselves", gatewayfile.API{}, 20},
		{"over TLS", gatewayfile.API{TLS: &gatewayfile.TLS{Certificate: "tls.crt"}}, 20},
		{"through an ingress", gatewayfile.API{TLS: &gatewayfile.TLS{TerminatedBy: gatewayfile.Ingress}}, 0},
		{"through one that is trusted", gatewayfile.API{TLS: &gatewayfile.TLS{TerminatedBy: gatewayfile.Ingress}, TrustedProxies: proxies}, 20},
	} {
		c := &gatewayfile.Config{Listeners: gatewayfile.Listeners{API: tt.api}, Limits: gatewayfile.Limits{Refusals: 20}}
		if got := refusals(c); got != tt.want {
			t.Errorf("%s: %g, want %g", tt.name, got, tt.want)
		}
	}
}

// TestShutdownAnswersWhatIsComing has a client that keeps its connection and is in the middle of a request when the service is asked to go.
func TestShutdownAnswersWhatIsComing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := Start(t.Context(), Options{Config: w.config(t, w.amqp)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", s.APIAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := bufio.NewReader(nc)
	exchange := func(text string, status int, closes bool) {
		t.Helper()
		if _, err := io.WriteString(nc, text); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != status || answer.Close != closes {
			t.Errorf("got %s, close %t", answer.Status, answer.Close)
		}
	}
	const first, rest = "POST /v1/hubs/orders/messages HTTP/1.1\r\nHost: h\r\n", "Content-Length: 0\r\n\r\n"
	exchange(first+rest, 401, false)
	if _, err := io.WriteString(nc, first); err != nil {
		t.Fatal(err)
	}
	if err := s.gateway.Drain(t.Context()); err != nil { // as Shutdown begins
		t.Fatal(err)
	}
	if status, text := ready(t, s); status != 503 || text != "draining\n" {
		t.Errorf("%d %s", status, text)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	exchange(rest, 503, true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestLimitsAddUpAlike wants `config check` and the gateway to be of one mind about what fits into inFlight, to the byte.
func TestLimitsAddUpAlike(t *testing.T) {
	t.Parallel()
	const file = `
targets: {broker: {broker: {address: "127.0.0.1:5672"}}}
routes: {orders: {target: broker}}
issuers: [{url: "https://login.example", audiences: [test]}]
rules: [{issuer: "https://login.example", kind: app, claim: scope, value: "send:<hub>"}]
limits: {principalShare: 1, items: %d, inFlight: %d}
`
	for _, items := range []int{1, 1000, 10000} {
		largest := 2*(4<<20) + 512*items + 8<<10
		for _, spare := range []int{0, -1} {
			_, err := gatewayfile.Parse("g.yaml", fmt.Appendf(nil, file, items, largest+spare))
			limits := gateway.Limits{BatchItemsMax: items, InFlightBytesMax: int64(largest + spare), PrincipalShare: 1}
			_, gatewayErr := gateway.New(gateway.Options{Tokens: gateway.JWT(nil), Limits: limits})
			if want := spare == 0; (err == nil) != want || (gatewayErr == nil) != want {
				t.Errorf("%d items, %d bytes over: the file says %v, the gateway %v", items, spare, err, gatewayErr)
			}
		}
	}
}
