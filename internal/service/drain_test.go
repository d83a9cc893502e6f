package service

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gateway"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/outbound"
	"github.com/evhub-dev/evhub/internal/pipes"
	"github.com/evhub-dev/evhub/notify"
	"github.com/evhub-dev/evhub/notify/eventhubs"
)

// TestDrainTotal wants the service gone at the end of drain.total, whoever hangs, and earlier where nobody does. Those who wait for an answer
// must have had it by then.
func TestDrainTotal(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Second
	for _, row := range []struct {
		name  string
		drain gatewayfile.Drain
		away  bool // the target hangs
		tls   bool
		come  func(c *scene)
		ends  time.Duration // 0: all of drain.total
		want  []int         // statuses of those who read their answers
		lost  string        // in the error; "": none
	}{
		{name: "nobody is there", come: func(*scene) {}, ends: wait},
		{name: "a message was stored", come: func(c *scene) { c.posts("anna") }, ends: wait, want: []int{201}},
		{name: "the target hangs", away: true, come: func(*scene) {}, lost: "target stuck: did not end in time"},
		{name: "the target hangs with a message", away: true, come: func(c *scene) { c.posts("anna") }, want: []int{504}, lost: "1 requests were under way"},
		{name: "a body comes slowly", come: func(c *scene) { c.dripsBody() }, lost: "1 requests were under way"},
		{name: "an answer is not read", come: func(c *scene) { c.ignoresAnswer() }},
		{name: "all at once", away: true, come: func(c *scene) { c.all() }, want: []int{503, 504}, lost: "3 requests were under way"},
		{name: "all at once over TLS", away: true, tls: true, come: func(c *scene) { c.all() }, want: []int{503, 504}, lost: "3 requests were under way"},
		{name: "all at once, in the least time there is", drain: gatewayfile.Drain{Total: time.Second}, away: true,
			come: func(c *scene) { c.all() }, want: []int{503, 504}, lost: "4 requests were under way"},
		{name: "all at once, with hardly any time for answers", drain: gatewayfile.Drain{Wait: 9999 * time.Millisecond, Total: 10 * time.Second}, away: true,
			come: func(c *scene) { c.all() }, want: []int{503, 504}, lost: "3 requests were under way"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.drain.Total == 0 {
				row.drain = gatewayfile.Drain{Wait: wait, Total: 25 * time.Second}
			}
			var files *gatewayfile.TLS
			if row.tls {
				dir := t.TempDir()
				files = &gatewayfile.TLS{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
				writePair(t, files, "gateway.example", time.Now())
			}
			synctest.Test(t, func(t *testing.T) {
				c := newScene(t, row.drain, files, row.away)
				row.come(c)
				synctest.Wait()
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				begun := time.Now()
				err := c.service.Run(gone)
				if took, want := time.Since(begun), cmp.Or(row.ends, row.drain.Total); took != want {
					t.Errorf("ended after %s, want %s", took, want)
				}
				if row.lost == "" && err != nil || row.lost != "" && (err == nil || !strings.Contains(err.Error(), row.lost)) {
					t.Errorf("run: %v, want %q", err, row.lost)
				}
				synctest.Wait()
				if got := c.answers(); !slices.Equal(got, row.want) {
					t.Errorf("answers %d, want %d", got, row.want)
				}
				c.leave()
			})
		})
	}
}

// scene is a service over pipes, and its callers.
type scene struct {
	t       *testing.T
	service *Service
	pipes   *pipes.Listener
	target  *stuck
	tls     bool

	callers sync.WaitGroup
	conns   []net.Conn

	mu    sync.Mutex // guards heard
	heard []int      // statuses of answers
}

func newScene(t *testing.T, drain gatewayfile.Drain, files *gatewayfile.TLS, away bool) *scene {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c := &scene{t: t, pipes: pipes.Listen(), target: newStuck(away), tls: files != nil}
	s := &Service{
		o:       Options{Config: &gatewayfile.Config{Drain: drain}, Clock: clock.System, Log: log},
		log:     log,
		targets: []target{c.target}, failed: make(chan error, 1),
	}
	s.proof = newProof(s.targets, clock.System, log)
	var err error
	if s.tokens, err = jwt.New(jwt.Options{
		Issuers: []jwt.Issuer{{URL: "https://issuer", KeysURL: "https://issuer/keys", Audiences: []string{"a"}}},
		Rules:   []jwt.Rule{{Issuer: "https://issuer", Kind: jwt.App, Claim: "roles", Value: "send", Hubs: []string{"*"}, Actions: []jwt.Action{jwt.Send}}},
		Client:  &http.Client{Transport: silence{}},
	}); err != nil {
		t.Fatal(err)
	}
	s.gateway, err = gateway.New(gateway.Options{
		Routes: map[string]gateway.Route{"orders": {Notifier: c.target}}, Tokens: friends{gateway.JWT(s.tokens)},
		Limits: gateway.Limits{DrainNotice: drain.Wait, HandlerTime: time.Hour, BodyTime: time.Hour, BodyRateMin: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.api, s.probes = s.gateway.Server(), s.gateway.Server()
	s.api.WriteTimeout, s.api.ReadTimeout = 0, 0 // which would end what must not end by itself
	if s.api.TLSConfig, err = serverTLS(files, clock.System, log); err != nil {
		t.Fatal(err)
	}
	probes := pipes.Listen()
	s.apiDoor, s.probesDoor = gateway.Follow(s.api, c.pipes), probes
	s.proof.start()
	s.serve(s.apiDoor, s.api, files)
	s.serve(s.probesDoor, s.probes, nil)
	c.service = s
	return c
}

// unsigned is a token whose issuer must be asked for its keys.
var unsigned = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k","typ":"at+jwt"}`)) + "." +
	base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://issuer"}`)) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))

const postHead = "POST /v1/hubs/orders/messages HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "

func (c *scene) dial() net.Conn {
	client, err := c.pipes.Dial(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if c.tls {
		client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	}
	c.conns = append(c.conns, client)
	return client
}

// write gives a caller's connection bytes, on a goroutine of its own, since pipes take them only when they are read.
func (c *scene) write(nc net.Conn, text string, then func()) {
	c.callers.Go(func() {
		if _, err := io.WriteString(nc, text); err == nil {
			then()
		}
	})
}

// posts sends a message and reads the answer.
func (c *scene) posts(token string) {
	nc := c.dial()
	c.write(nc, postHead+token+"\r\nContent-Length: 5\r\n\r\nhello", func() {
		answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			c.t.Error("no answer:", err)
			return
		}
		io.Copy(io.Discard, answer.Body)
		nc.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = append(c.heard, answer.StatusCode)
	})
}

// dripsBody sends one byte of its body each second, for ever.
func (c *scene) dripsBody() {
	nc := c.dial()
	c.write(nc, postHead+"anna\r\nContent-Length: 1000000\r\n\r\n", func() {
		for {
			time.Sleep(time.Second)
			if _, err := nc.Write([]byte("x")); err != nil {
				return
			}
		}
	})
}

func (c *scene) ignoresAnswer() {
	c.write(c.dial(), postHead+"anna\r\nContent-Length: 5\r\n\r\nhello", func() {})
}

func (c *scene) begins() { c.write(c.dial(), "POST /v1/h", func() {}) }

func (c *scene) all() {
	c.posts("anna")
	c.posts(unsigned)
	c.dripsBody()
	c.ignoresAnswer()
	c.begins()
}

// answers are the statuses that were heard, in their order.
func (c *scene) answers() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.heard)
	return c.heard
}

// leave ends what the service has left behind.
func (c *scene) leave() {
	close(c.target.gone)
	for _, nc := range c.conns {
		nc.Close()
	}
	c.callers.Wait()
	time.Sleep(time.Second) // net/http lingers for half of that over a connection it cut off
}

// stuck is a target that, if it is away, has hung since it was opened, as the SDK does below a call that no context reaches.
type stuck struct {
	away bool
	told chan struct{} // closed when callers wait no longer
	gone chan struct{} // closed when it hangs no longer
}

func newStuck(away bool) *stuck {
	return &stuck{away: away, told: make(chan struct{}), gone: make(chan struct{})}
}

func (s *stuck) Name() string { return "stuck" }

func (s *stuck) Stats() map[string]eventhubs.Stats { return nil }

func (s *stuck) Waiting() map[string]outbound.Waiting { return nil }

func (s *stuck) Ready(context.Context) error {
	if s.away {
		<-s.gone
	}
	return nil
}

func (s *stuck) Close(ctx context.Context) error {
	if s.away {
		<-ctx.Done()
		close(s.told)
		<-s.gone
	}
	return nil
}

func (s *stuck) Send(_ context.Context, _ string, messages ...notify.Message) []notify.Result {
	results := make([]notify.Result, len(messages))
	if s.away {
		<-s.told
		for i := range results {
			results[i].Err = &notify.Error{Reason: notify.Unknown, Text: "no answer"}
		}
	}
	return results
}

// friends lets anna in, and asks for everyone else.
type friends struct{ gateway.TokenVerifier }

type anna struct{}

func (anna) ID() string { return "anna" }

func (anna) Identity() gateway.Identity { return gateway.Identity{} }

func (anna) MayPublish(string) (gateway.Quota, error) { return gateway.Quota{}, nil }

func (f friends) Remembered(authorization []string) (gateway.Principal, error) {
	if len(authorization) == 1 && authorization[0] == "Bearer anna" {
		return anna{}, nil
	}
	return f.TokenVerifier.Remembered(authorization)
}

// silence is an issuer that never answers.
type silence struct{}

func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
