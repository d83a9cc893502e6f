package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/config"
)

// onFreePorts is c, or the default configuration, on ports that the system chooses.
func onFreePorts(c *config.Config) *config.Config {
	if c == nil {
		c = config.Default()
	}
	c.Evhub.Listeners = config.Listeners{AMQP: []string{"127.0.0.1:0"}, API: []string{"127.0.0.1:0"}, Admin: []string{"127.0.0.1:0"}}
	return c
}

func start(t *testing.T, o Options) *Broker {
	t.Helper()
	o.Config = onFreePorts(o.Config)
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b.Shutdown(ctx)
	})
	return b
}

var ownPolicy = auth.Policy{Name: "app", Key: "app-key-1", Rights: auth.Send, Namespace: config.DefaultNamespace, Hub: "eh1"}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestStartIsReady(t *testing.T) {
	t.Parallel()
	c := config.Default()
	if err := c.AddHub(config.Hub{Name: "Orders", Partitions: 4, Groups: []string{"audit"}}); err != nil {
		t.Fatal(err)
	}
	b := start(t, Options{Config: c})
	for hub, partitions := range map[string]int{"eh1": 2, "orders": 4} {
		h, err := b.engine.Hall.Namespace(config.DefaultNamespace).Hub(hub)
		if err != nil || h.PartitionCount() != partitions {
			t.Errorf("hub %s: %v, want %d partitions", hub, err, partitions)
		}
	}
	if status, body := get(t, "http://"+b.Address(Admin)+"/health"); status != 200 || !strings.Contains(body, `"healthy"`) {
		t.Errorf("health: %d %s", status, body)
	}
	if status, body := get(t, "http://"+b.Address(Admin)+"/metrics"); status != 200 || !strings.Contains(body, `hub="orders",partition="3"`) {
		t.Errorf("metrics: %d %s", status, body)
	}
	if err := greet(t.Context(), b.Address(AMQP)); err != nil {
		t.Errorf("AMQP: %v", err)
	}
}

func TestConnectionString(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	want := "Endpoint=sb://" + b.Address(AMQP) + ";SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
	if got := b.ConnectionString().Encode(); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	c := config.Default()
	c.Evhub.Policies = []auth.Policy{ownPolicy}
	own := start(t, Options{Config: c})
	want = "Endpoint=sb://" + own.Address(AMQP) + ";SharedAccessKeyName=app;SharedAccessKey=***;UseDevelopmentEmulator=true;EntityPath=eh1;"
	if got := own.ConnectionString().String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOwnPoliciesReplaceTheDevelopmentKeys(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Evhub.Policies = []auth.Policy{ownPolicy}
	own, public := start(t, Options{Config: c}), start(t, Options{})
	opens := func(b *Broker, name, key string) bool {
		_, err := b.engine.Policies.Authenticate(auth.KindPlain, key, name, time.Now())
		return err == nil
	}
	for _, tt := range []struct {
		name, key   string
		own, public bool
	}{
		{auth.RootKeyName, auth.RootKey, false, true},
		{auth.AzuriteAccountName, auth.AzuriteAccountKey, false, true},
		{ownPolicy.Name, ownPolicy.Key, true, false},
	} {
		if got := opens(own, tt.name, tt.key); got != tt.own {
			t.Errorf("%s with own policies: %t", tt.name, got)
		}
		if got := opens(public, tt.name, tt.key); got != tt.public {
			t.Errorf("%s without own policies: %t", tt.name, got)
		}
	}
}

// TestStartIsQuiet wants nothing above the banner, which serve prints behind Start, but what the user should change.
func TestStartIsQuiet(t *testing.T) {
	t.Parallel()
	own := config.Default()
	own.Evhub.Policies = []auth.Policy{ownPolicy}
	for _, row := range []struct {
		name string
		o    Options
		want string // all that is logged; "": nothing
	}{
		{"by default", Options{}, ""},
		{"for all, with the public keys", Options{Dev: true}, ""},
		{"for all, past policies of one's own", Options{Dev: true, Config: own}, "level=WARN msg=\"development issuer gives tokens for all hubs to anyone who asks"},
	} {
		var log bytes.Buffer
		row.o.Log = slog.New(slog.NewTextHandler(&log, nil))
		start(t, row.o)
		if got := log.String(); row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestSealedNamespaceIsNamed(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := config.Default()
	c.Namespaces = append(c.Namespaces, config.Namespace{Name: "second"})
	start(t, Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if text := log.String(); !strings.Contains(text, "ns=second") || strings.Contains(text, "ns="+config.DefaultNamespace) {
		t.Errorf("log: %s", text)
	}
}

func TestBadConfigurationsListenNowhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config config.Config
		want   string
	}{
		{"too many partitions", config.Config{Namespaces: []config.Namespace{{Name: "ns1", Hubs: []config.Hub{{Name: "wide", Partitions: 1e6}}}}},
			`hub "wide" of namespace "ns1": `},
		{"name of a namespace", config.Config{Namespaces: []config.Namespace{{Name: "a b"}}}, `namespace "a b": `},
		{"policy without rights", config.Config{Evhub: config.Evhub{Policies: []auth.Policy{{Name: "app", Key: "k", Namespace: "ns1"}}}},
			`policy "app" has no rights`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), Options{Config: onFreePorts(&tt.config)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start: %v, want %s", err, tt.want)
			}
			if err := Check(&tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check: %v, want %s", err, tt.want)
			}
		})
	}
	if err := Check(config.Default()); err != nil {
		t.Errorf("Check of the default: %v", err)
	}
}

func TestRunDrains(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, door := range []string{AMQP, Admin} {
		if nc, err := net.Dial("tcp", b.Address(door)); err == nil {
			nc.Close()
			t.Errorf("%s still accepts", door)
		}
	}
	if err := b.health(t.Context()); !errors.Is(err, errDraining) {
		t.Errorf("health: %v", err)
	}
}

func TestShutdownCutsWhoDoesNotLeave(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	silent, err := net.Dial("tcp", b.Address(AMQP))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Write([]byte("AMQP\x00\x01\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(silent, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	b.Shutdown(ctx) // whether the client left in time depends on what it had to say
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	silent.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := io.Copy(io.Discard, silent); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection lives on after %d bytes: %v", n, err)
	}
}

func TestRunEndsWhenADoorFalls(t *testing.T) {
	t.Parallel()
	for _, door := range []string{AMQP, Admin} {
		b := start(t, Options{})
		b.listeners[door][0].Close()
		if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), door) {
			t.Errorf("Run: %v, want one that names %s", err, door)
		}
	}
}

func TestHealthLooks(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	if err := b.health(t.Context()); err != nil {
		t.Errorf("a sound broker: %v", err)
	}
	failed := start(t, Options{})
	h, err := failed.engine.Hall.Namespace(config.DefaultNamespace).Hub("eh1")
	if err != nil {
		t.Fatal(err)
	}
	h.PartitionAt(1).Log().Close()
	if err := failed.health(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "1 partition") {
		t.Errorf("a partition has failed: %v", err)
	}
	good := b.listeners
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // its backlog accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	web := good[Admin][0] // answers, but does not speak AMQP
	for name, ln := range map[string]net.Listener{"deaf": deaf, "gone": gone, "something else": web} {
		sick := &Broker{o: b.o, log: b.log, engine: b.engine, listeners: map[string][]net.Listener{AMQP: {good[AMQP][0], ln}}}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := sick.health(ctx); err == nil {
			t.Errorf("%s: healthy", name)
		}
		cancel()
	}
}
