package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/config"
)

// taken gives an address that something listens on.
func taken(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func TestBusyPortNamesPortAndFlag(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		door, flag string
		listeners  func(busy string) config.Listeners
	}{
		{AMQP, "--listen-amqp 127.0.0.1:0", func(busy string) config.Listeners {
			return config.Listeners{AMQP: []string{busy}, API: []string{"127.0.0.1:0"}, Admin: []string{"127.0.0.1:0"}}
		}},
		{API, "--listen-api 127.0.0.1:0", func(busy string) config.Listeners {
			return config.Listeners{AMQP: []string{"127.0.0.1:0"}, API: []string{busy}, Admin: []string{"127.0.0.1:0"}}
		}},
		{Admin, "--listen-admin 127.0.0.1:0", func(busy string) config.Listeners {
			return config.Listeners{AMQP: []string{"127.0.0.1:0"}, API: []string{"127.0.0.1:0"}, Admin: []string{busy}}
		}},
	} {
		t.Run(tt.door, func(t *testing.T) {
			t.Parallel()
			busy := taken(t)
			c := config.Default()
			c.Evhub.Listeners = tt.listeners(busy)
			_, err := Start(t.Context(), Options{Config: c})
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("Start: %v", err)
			}
			if want := tt.door + " cannot listen on " + busy + ": the port is taken by another process"; e.Error() != want {
				t.Errorf("%q, want %q", e, want)
			}
			if !strings.Contains(e.Hint, tt.flag) {
				t.Errorf("hint %q names no %s", e.Hint, tt.flag)
			}
		})
	}
}

// TestRefusedBesideAnother: the way out has the flags of all doors that the other broker has taken, too.
func TestRefusedBesideAnother(t *testing.T) {
	t.Parallel()
	other := start(t, Options{})
	for _, tt := range []struct {
		name   string
		listen config.Listeners
		err    error
		hint   string
	}{
		{"a broker's port", config.Listeners{Admin: []string{other.Address(Admin)}}, syscall.EADDRINUSE,
			"an evhub runs already, with its admin port at " + other.Address(Admin) + "; for one beside it: evhub serve --listen-amqp 127.0.0.1:0 --listen-api 127.0.0.1:0"},
		{"somebody's port", config.Listeners{API: []string{"127.0.0.1:0"}, Admin: []string{"127.0.0.1:0"}}, syscall.EADDRINUSE,
			"choose another place, or let the system choose: evhub serve --listen-amqp 127.0.0.1:0"},
		{"no port", config.Listeners{Admin: []string{other.Address(Admin)}}, syscall.EADDRNOTAVAIL,
			"choose another place, or let the system choose: evhub serve --listen-amqp 127.0.0.1:0"},
	} {
		c := config.Default()
		c.Evhub.Listeners = tt.listen
		b := &Broker{o: Options{Config: c}}
		if got := b.refused(t.Context(), b.o.doors()[0], "localhost:5672", tt.err).Hint; got != tt.hint {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.hint)
		}
	}
}

func TestImpossibleAddress(t *testing.T) {
	t.Parallel()
	c := onFreePorts(nil)
	c.Evhub.Listeners.AMQP = []string{"192.0.2.1:0"} // of no machine (RFC 5737)
	_, err := Start(t.Context(), Options{Config: c, Dev: true})
	if err == nil || !strings.HasPrefix(err.Error(), "AMQP cannot listen on 192.0.2.1:0: ") || strings.Contains(err.Error(), "taken") {
		t.Errorf("Start: %v", err)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	own := []auth.Policy{ownPolicy}
	for _, tt := range []struct {
		address  string
		dev      bool
		policies []auth.Policy
		refused  bool
	}{
		{address: "127.0.0.1:5672"},
		{address: "127.1.2.3:5672"},
		{address: "[::1]:5672"},
		{address: "localhost:5672"},
		{address: "0.0.0.0:5672", refused: true},
		{address: "[::]:5672", refused: true},
		{address: ":5672", refused: true},
		{address: "192.0.2.1:5672", refused: true},
		{address: "evhub.example:5672", refused: true},
		{address: "localhost.evil.example:5672", refused: true},
		{address: "0.0.0.0:5672", dev: true},
		{address: "0.0.0.0:5672", policies: own},
	} {
		for _, door := range []string{AMQP, API, Admin} {
			c := onFreePorts(nil)
			c.Evhub.Policies = tt.policies
			l := &c.Evhub.Listeners
			at := map[string]*[]string{AMQP: &l.AMQP, API: &l.API, Admin: &l.Admin}[door]
			*at = append(*at, tt.address)
			err := checkReach(Options{Config: c, Dev: tt.dev})
			if got := err != nil; got != tt.refused {
				t.Errorf("%s %s, dev %t, own policies %t: %v", door, tt.address, tt.dev, tt.policies != nil, err)
			}
			e, _ := errors.AsType[*Error](err)
			if e != nil && (!strings.Contains(e.Text, door) || !strings.Contains(e.Text, tt.address) || !strings.Contains(e.Hint, "--dev")) {
				t.Errorf("%q, %q", e.Text, e.Hint)
			}
		}
	}
	c := onFreePorts(nil)
	c.Evhub.Listeners.AMQP = []string{"evhub.example:5672"}
	if err := checkReach(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "names but localhost are not looked up") {
		t.Errorf("a name: %v", err)
	}
	c.Evhub.Listeners.AMQP = []string{"0.0.0.0:0"}
	if _, err := Start(t.Context(), Options{Config: c}); err == nil {
		t.Error("Start goes beyond loopback with public keys")
	}
}

func TestListeningEverywhere(t *testing.T) {
	t.Parallel()
	c := onFreePorts(nil)
	c.Evhub.Listeners.AMQP = []string{"0.0.0.0:0"}
	var log bytes.Buffer
	b, err := Start(t.Context(), Options{Config: c, Dev: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(t.Context())
	port := strconv.Itoa(b.listeners[AMQP][0].Addr().(*net.TCPAddr).Port)
	if want := `msg="reachable from other machines with the public key" open="AMQP ` + b.listeners[AMQP][0].Addr().String() + `"`; !strings.Contains(log.String(), want) {
		t.Errorf("no %s in: %s", want, &log)
	}
	if got := b.Address(AMQP); got != "127.0.0.1:"+port {
		t.Errorf("address %s", got)
	}
	if got := b.Host(AMQP); got != "localhost:"+port {
		t.Errorf("host %s", got)
	}
	if err := b.health(t.Context()); err != nil {
		t.Errorf("health: %v", err)
	}
}

func TestLocalhostIsBothFamiliesOnOnePort(t *testing.T) {
	t.Parallel()
	list, err := listen(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	if hasIPv6(t.Context()) {
		want = 2
	}
	if len(list) != want {
		t.Fatalf("%d listeners, want %d", len(list), want)
	}
	first := list[0].Addr().(*net.TCPAddr)
	for _, ln := range list {
		defer ln.Close()
		if addr := ln.Addr().(*net.TCPAddr); addr.Port != first.Port || !addr.IP.IsLoopback() {
			t.Errorf("%s beside %s", addr, first)
		}
	}
	if _, err := listen(t.Context(), "localhost:"+strconv.Itoa(first.Port)); !isTaken(err) {
		t.Errorf("the same again: %v", err)
	}
}

// A port that is free in one family only would send half of the clients to somebody else.
func TestLocalhostTakenInOneFamily(t *testing.T) {
	t.Parallel()
	other, err := listenOne(t.Context(), "::1", "0")
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return
	}
	defer other.Close()
	port := strconv.Itoa(other.Addr().(*net.TCPAddr).Port)
	if list, err := listen(t.Context(), "localhost:"+port); err == nil {
		t.Errorf("listening on %s", list[0].Addr())
	}
}

func TestDoorThatMoves(t *testing.T) {
	t.Parallel()
	_, text, _ := net.SplitHostPort(taken(t))
	port, _ := strconv.Atoi(text)
	for _, tt := range []struct {
		name    string
		asked   []string
		moves   bool
		refused bool
	}{
		{"default port", nil, true, false},
		{"default port of a door that does not move", nil, false, true},
		{"asked for", []string{"127.0.0.1:" + text}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			b := &Broker{
				o: Options{Config: config.Default()}, log: slog.New(slog.NewTextHandler(&log, nil)),
				listeners: make(map[string][]net.Listener),
			}
			d := door{"KAFKA", "--listen-kafka", port, tt.moves, func(config.Listeners) []string { return tt.asked }, nil}
			err := b.bind(context.Background(), d)
			if refused := err != nil; refused != tt.refused {
				t.Errorf("bind: %v", err)
			}
			defer b.closeListeners()
			if listens := len(b.listeners["KAFKA"]) > 0; listens == tt.refused {
				t.Errorf("listening: %t", listens)
			}
			if said := log.String(); !tt.refused && (!strings.Contains(said, text) || !strings.Contains(said, "--listen-kafka")) {
				t.Errorf("log: %q", said)
			}
		})
	}
}
