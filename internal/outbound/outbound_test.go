package outbound

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

func TestBroker(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	c.write("cs", connectionString(b.listen(false), firstKey)+";UseDevelopmentEmulator=true\n")
	target := c.open(`{broker: {connectionString: "${file:cs}"}}`, nil)
	mustNotify(t, target, "orders")
	mustNotify(t, target, "audit")
	if b.stored("orders") != 1 || b.stored("audit") != 1 {
		t.Errorf("stored %d and %d", b.stored("orders"), b.stored("audit"))
	}
	if again := mustNotifier(t, target, "orders"); again != mustNotifier(t, target, "orders") {
		t.Error("one hub has two notifiers")
	}
	ctx, cancel := soon()
	defer cancel()
	results := mustNotifier(t, target, "orders").Send(ctx, "audit", notify.Message{})
	if notify.ReasonOf(results[0].Err) != notify.NotFound {
		t.Errorf("a message for another hub: %+v", results)
	}
	if w := target.Waiting(); w["orders"] != (Waiting{BytesMax: 64 << 20}) || len(w) != 2 {
		t.Errorf("waiting %+v", w)
	}
	if s := target.Stats(); s["orders"].Stored != 1 || s["audit"].Stored != 1 || len(s) != 2 || target.System() != "eventhubs" {
		t.Errorf("stats %+v of %s", s, target.System())
	}
}

func TestBrokerWithThePublicKey(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	if err := b.e.Policies.Add(auth.Policy{Name: auth.RootKeyName, Key: auth.RootKey, Rights: auth.Manage, Namespace: "ns"}); err != nil {
		t.Fatal(err)
	}
	mustNotify(t, c.open(fmt.Sprintf("{broker: {address: %q}}", b.listen(false)), nil), "orders")
}

// TestTransports reaches a namespace whose certificate a private authority has signed, in each way there is.
func TestTransports(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	amqps, web := b.listen(true), b.listenWeb()
	p := newProxy(t, map[string]string{namespaceHost + ":443": web})
	for _, c := range []struct {
		name, target, host string
		env                map[string]string
		proxied            bool
	}{
		{"amqp at a custom endpoint", fmt.Sprintf("customEndpoint: %q", amqps), namespaceHost, nil, false},
		{"amqp at a port", "", amqps, nil, false},
		{"amqp past a proxy of the environment", "", amqps, map[string]string{"HTTPS_PROXY": p.address}, false},
		{"websocket at a custom endpoint", fmt.Sprintf("transport: websocket, customEndpoint: %q", web), namespaceHost, nil, false},
		{"websocket at a port", "transport: websocket", web, nil, false},
		{"websocket through a proxy", fmt.Sprintf("transport: websocket, proxy: %q", p.address), namespaceHost, nil, true},
		{"websocket through a proxy of the environment", "transport: websocket", namespaceHost, map[string]string{"HTTPS_PROXY": p.address}, true},
		{"websocket past a proxy", "transport: websocket", web, map[string]string{"https_proxy": "http://127.0.0.1:1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := newConfig(t)
			conf.write("ca.pem", b.ca.pem())
			conf.write("cs", connectionString(c.host, firstKey))
			p.mu.Lock()
			p.asked = nil
			p.mu.Unlock()
			before := b.stored("orders")
			mustNotify(t, conf.open(fmt.Sprintf(`{eventHubs: {connectionString: "${file:cs}", caFile: ca.pem, %s}}`, c.target), c.env), "orders")
			if got := b.stored("orders"); got != before+1 {
				t.Errorf("stored %d", got-before)
			}
			if strings.HasPrefix(c.name, "websocket") && b.host != c.host {
				t.Errorf("the WebSocket was for %s", b.host)
			}
			if p.wasAskedFor(namespaceHost+":443") != c.proxied {
				t.Errorf("the proxy was asked for %q", p.asked)
			}
		})
	}
}

// TestWebSocketOutlivesItsFirstCall sends with contexts that end.
func TestWebSocketOutlivesItsFirstCall(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	c.write("ca.pem", b.ca.pem())
	c.write("cs", connectionString(b.listenWeb(), firstKey))
	target := c.open(`{eventHubs: {connectionString: "${file:cs}", caFile: ca.pem, transport: websocket}}`, nil)
	n := mustNotifier(t, target, "orders")
	for range 3 {
		ctx, cancel := soon()
		if err := target.Ready(ctx); err != nil {
			t.Error(err)
		}
		if r := n.Send(ctx, "orders", notify.Message{Body: make([]byte, 100<<10)}); r[0].Err != nil {
			t.Errorf("got %+v", r)
		}
		cancel()
	}
	if s := b.e.Connections(); s.Accepted != 1 {
		t.Errorf("%d connections", s.Accepted)
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	amqps, web, plain := b.listen(true), b.listenWeb(), b.listen(false)
	closed := localListener(t)
	closed.Close()
	nobody := closed.Addr().String()
	p := newProxy(t, nil)
	for _, c := range []struct {
		name, hub, target, connection string
		env                           map[string]string
		reason                        notify.Reason
		advice                        string
	}{
		{"a wrong key", "orders", `{broker: {connectionString: "${file:cs}"}}`, connectionString(plain, secondKey) + ";UseDevelopmentEmulator=true", nil,
			notify.Denied, "check that the policy send of the connection string has the right Send, and that its key was not replaced"},
		{"no such hub", "none", `{broker: {connectionString: "${file:cs}"}}`, connectionString(plain, firstKey) + ";UseDevelopmentEmulator=true", nil,
			notify.NotFound, "check that there is a hub of this name at " + plain},
		{"no broker", "orders", `{broker: {connectionString: "${file:cs}"}}`, connectionString(nobody, firstKey) + ";UseDevelopmentEmulator=true", nil,
			notify.Unavailable, "check that a broker listens at " + nobody},
		{"an unknown authority over amqp", "orders", `{eventHubs: {connectionString: "${file:cs}"}}`, connectionString(amqps, firstKey), nil,
			notify.Unavailable, "check who signed the certificate of " + amqps + ": an authority of your own, or a proxy that looks inside, is named by caFile"},
		{"an unknown authority over websocket", "orders", `{eventHubs: {connectionString: "${file:cs}", transport: websocket}}`, connectionString(web, firstKey), nil,
			notify.Unavailable, "check who signed the certificate of " + web + ": an authority of your own, or a proxy that looks inside, is named by caFile"},
		{"nobody over amqp", "orders", `{eventHubs: {connectionString: "${file:cs}"}}`, connectionString(nobody, firstKey), nil,
			notify.Unavailable, "check that " + nobody + " can be reached; where only HTTPS gets out, write transport: websocket"},
		{"nobody over amqp, and a proxy", "orders", `{eventHubs: {connectionString: "${file:cs}"}}`, connectionString(nobody, firstKey),
			map[string]string{"HTTPS_PROXY": p.address}, notify.Unavailable,
			"check that " + nobody + " can be reached without a proxy: HTTPS_PROXY is set, and only transport: websocket goes through it"},
		{"a proxy that does not know the host", "orders", `{eventHubs: {connectionString: "${file:cs}", transport: websocket}}`,
			connectionString(namespaceHost, firstKey), map[string]string{"HTTPS_PROXY": p.address}, notify.Unavailable,
			"check that https://" + namespaceHost + ":443 can be reached, through the proxy if there is one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conf := newConfig(t)
			conf.write("cs", c.connection)
			target := conf.open(c.target, c.env)
			mustNotifier(t, target, c.hub)
			wantNotReady(t, target, c.reason, "target t: hub "+c.hub+": ", c.advice)
		})
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.write("cs", connectionString(namespaceHost, firstKey)+";EntityPath=Orders")
	c.write("public", "Endpoint=sb://b;SharedAccessKeyName=x;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true")
	c.write("ca.pem", "nothing")
	amqpThroughProxy := c.target(`{eventHubs: {connectionString: "${file:cs}"}}`)
	amqpThroughProxy.EventHubs.Proxy = "http://proxy:3128" // a file with both is refused before
	for name, row := range map[string]struct {
		target gatewayfile.Target
		want   string
	}{
		"no secret":        {c.target(`{eventHubs: {connectionString: "${file:none}"}}`), fmt.Sprintf("the secret's file %q: there is no such file", c.dir+"/none")},
		"no certificate":   {c.target(`{eventHubs: {connectionString: "${file:cs}", caFile: ca.pem}}`), fmt.Sprintf("caFile: %q has no certificate in PEM form", c.dir+"/ca.pem")},
		"the public key":   {c.target(`{broker: {connectionString: "${file:public}"}}`), "the key of the connection string is the public development key, which everybody knows: it is for a broker on this machine only, and this is b; give a policy with a key of your own"},
		"proxy for amqp":   {amqpThroughProxy, "proxy: it cannot carry AMQP, which is no HTTP; write transport: websocket"},
		"kafka authority":  {c.target(`{kafka: {brokers: ["k:1"], tls: {caFile: none.pem}}}`), fmt.Sprintf("tls.caFile: %q: there is no such file", c.dir+"/none.pem")},
		"kafka's password": {c.target(`{kafka: {brokers: ["k:1"], tls: {}, sasl: {mechanism: PLAIN, username: u, password: "${file:none}"}}}`), fmt.Sprintf("sasl.password: the secret's file %q: there is no such file", c.dir+"/none")},
	} {
		if _, err := Open(t.Context(), row.target, c.options(nil)); err == nil || err.Error() != "target t: "+row.want {
			t.Errorf("%s: got %v, want %s", name, err, row.want)
		}
	}
	target := c.open(`{eventHubs: {connectionString: "${file:cs}"}}`, nil)
	mustNotifier(t, target, "orders")
	const want = "target t: hub audit: the connection string is for the hub Orders only, as its EntityPath says"
	if _, err := target.Notifier("audit"); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// TestKeyIsReplaced replaces the key in its file and then at the broker, while senders go on. None of them may be denied.
func TestKeyIsReplaced(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	address := b.listen(false)
	const emulator = ";UseDevelopmentEmulator=true"
	c.write("cs", connectionString(address, firstKey)+emulator)
	target := c.open(`{broker: {connectionString: "${file:cs}"}}`, nil)
	n := mustNotifier(t, target, "orders")
	mustNotify(t, target, "orders")

	ctx, cancel := soon()
	defer cancel()
	var stored, unsure atomic.Int64
	stored.Add(1)
	var senders sync.WaitGroup
	replaced := make(chan struct{})
	for i := range 8 {
		senders.Go(func() {
			for left := 20; left > 0 && ctx.Err() == nil; { // so many after the key was replaced
				select {
				case <-replaced:
					left--
				default:
				}
				switch r := n.Send(ctx, "orders", notify.Message{Key: fmt.Sprint(i)})[0]; notify.ReasonOf(r.Err) {
				case notify.Unknown, notify.Unavailable: // the connection was cut
					unsure.Add(1)
				default:
					if r.Err != nil {
						t.Errorf("got %v", r.Err)
					}
					stored.Add(1)
				}
			}
		})
	}
	c.write("cs", connectionString(address, secondKey)+emulator)
	b.replaceKey()
	close(replaced)
	senders.Wait()
	if got := b.stored("orders"); got < stored.Load() || got > stored.Load()+unsure.Load() {
		t.Errorf("%d stored, %d were called so and %d are not known", got, stored.Load(), unsure.Load())
	}
	if s := target.Stats()["orders"]; s.Stored < stored.Load() {
		t.Errorf("the statistics forgot the client before: %+v, %d stored", s, stored.Load())
	}
	if err := target.Ready(ctx); err != nil {
		t.Error(err)
	}
	if !strings.Contains(c.log.String(), "the connection string has changed; new connections use it") {
		t.Errorf("log:\n%s", c.log.String())
	}
}

// TestKeyIsLookedAtFromTimeToTime moves the clock, so that the old key is left before it fails.
func TestKeyIsLookedAtFromTimeToTime(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	if err := b.e.Policies.Add(auth.Policy{Name: "other", Key: secondKey, Rights: auth.Send, Namespace: "ns"}); err != nil {
		t.Fatal(err)
	}
	address := b.listen(false)
	const emulator = ";UseDevelopmentEmulator=true"
	c.write("cs", connectionString(address, firstKey)+emulator)
	o := c.options(nil)
	hand := &handClock{now: time.Unix(1_800_000_000, 0)}
	o.Clock = hand
	target, err := Open(t.Context(), c.target(`{broker: {connectionString: "${file:cs}"}}`), o)
	if err != nil {
		t.Fatal(err)
	}
	mustNotify(t, target, "orders")
	replacement := strings.Replace(connectionString(address, secondKey), "=send", "=other", 1) + emulator
	for _, step := range []struct {
		name, file string
		pass       time.Duration
		clients    int64
	}{
		{"too early", replacement, lookEvery - 1, 1},
		{"half a file", replacement[:30], 1, 1},
		{"in time", replacement, lookEvery, 2},
		{"nothing new", replacement, lookEvery, 2},
		{"for another hub", replacement + ";EntityPath=audit", lookEvery, 2},
	} {
		c.write("cs", step.file)
		hand.move(step.pass)
		mustNotify(t, target, "orders")
		if got := b.e.Connections().Accepted; got != step.clients {
			t.Errorf("%s: %d connections so far", step.name, got)
		}
	}
	ctx, cancel := soon()
	defer cancel()
	if err := target.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"the connection string cannot be used; the one before stays", "the new connection string is not for this hub"} {
		if strings.Count(c.log.String(), line) != 1 {
			t.Errorf("log:\n%s", c.log.String())
		}
	}
}

type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) AfterFunc(d time.Duration, f func()) clock.Timer { return time.AfterFunc(d, f) }

func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestClose(t *testing.T) {
	t.Parallel()
	b, c := newBroker(t), newConfig(t)
	c.write("cs", connectionString(b.listen(false), firstKey)+";UseDevelopmentEmulator=true")
	target := c.open(`{broker: {connectionString: "${file:cs}"}}`, nil)
	mustNotify(t, target, "orders")
	n := mustNotifier(t, target, "orders")
	ctx, cancel := soon()
	defer cancel()
	for range 2 {
		if err := target.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	if r := n.Send(ctx, "orders", notify.Message{}); notify.ReasonOf(r[0].Err) != notify.Closed {
		t.Errorf("got %+v", r)
	}
	if err := target.Ready(ctx); notify.ReasonOf(err) != notify.Closed {
		t.Errorf("got %v", err)
	}
	if _, err := target.Notifier("audit"); err == nil {
		t.Error("a notifier after Close")
	}
}

// TestCloseGivesUp closes while the hub does not answer.
func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	silent := localListener(t) // takes connections, and says nothing
	defer silent.Close()
	c.write("cs", connectionString(silent.Addr().String(), firstKey)+";UseDevelopmentEmulator=true")
	target, err := Open(t.Context(), c.target(`{broker: {connectionString: "${file:cs}"}}`), c.options(nil))
	if err != nil {
		t.Fatal(err)
	}
	n := mustNotifier(t, target, "orders")
	sent := make(chan notify.Result, 1)
	go func() {
		ctx, cancel := soon()
		defer cancel()
		sent <- n.Send(ctx, "orders", notify.Message{})[0]
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := target.Close(ctx); err == nil || !strings.HasPrefix(err.Error(), "target t: hub orders: not everything that waited could be sent") {
		t.Errorf("got %v", err)
	}
	if r := <-sent; notify.ReasonOf(r.Err) != notify.Closed {
		t.Errorf("got %+v", r)
	}
}

func TestSumOfStats(t *testing.T) {
	t.Parallel()
	one := eventhubs.Stats{Messages: 1, Bytes: 2, Stored: 3, BreakerOpen: true}
	one.Failed[notify.Busy] = 4
	two := eventhubs.Stats{Messages: 10, Lost: 5}
	two.Failed[notify.Busy] = 1
	want := eventhubs.Stats{Messages: 11, Bytes: 2, Stored: 3, BreakerOpen: true, Lost: 5}
	want.Failed[notify.Busy] = 5
	if got := sum(one, two); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if one.Messages != 1 {
		t.Error("an argument was changed")
	}
}

func TestProxyFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ named, httpsProxy, noProxy, url, want string }{
		"none":                      {"", "", "", "https://a.example", ""},
		"named":                     {"http://p:1", "http://q:2", "", "https://a.example", "http://p:1"},
		"of the environment":        {"", "http://q:2", "", "https://a.example", "http://q:2"},
		"with a password":           {"", "http://u:p@q:2", "", "https://a.example", "http://u:p@q:2"},
		"an exception":              {"", "http://q:2", ".example", "https://a.example", ""},
		"this machine":              {"http://p:1", "", "", "https://127.0.0.1:2", ""},
		"this machine, environment": {"", "http://q:2", "", "https://[::1]:2", ""},
		"the instance metadata":     {"http://p:1", "", "", "http://169.254.169.254/metadata", ""},
	} {
		env := map[string]string{"HTTPS_PROXY": c.httpsProxy, "no_proxy": c.noProxy}
		choose, err := proxyFor(c.named, func(name string) string { return env[name] })
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(http.MethodGet, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := choose(request)
		if err != nil || (got == nil) != (c.want == "") || got != nil && got.String() != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
