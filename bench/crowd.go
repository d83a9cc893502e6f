package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/post"
	"github.com/evhub-dev/evhub/internal/issuer"
)

const (
	crowdTime  = 5 * time.Second // of a window with and one without the crowd, at most
	goodPerSec = 200             // of the caller that must not suffer
	quotaRate  = 500             // of each caller, requests a second
)

// crowd is a caller that behaves, beside many requests that do not.
type crowd struct {
	rounds     int
	window     time.Duration
	good, many post.Options

	alone, beside latencies // of the good caller
	answers       latencies // of the others
	answered      int64
	took          time.Duration // with the others
}

// latencies are the quantiles of each round.
type latencies struct{ p50, p99 []time.Duration }

func (q *latencies) add(h *load.Histogram) {
	q.p50, q.p99 = append(q.p50, h.Quantile(0.5)), append(q.p99, h.Quantile(0.99))
}

// median gives those of the round in the middle.
func (q *latencies) median() (p50, p99 string) { return millis(median(q.p50)), millis(median(q.p99)) }

// run has the good caller go alone and beside the others in turn.
func (c *crowd) run(ctx context.Context) error {
	for range c.rounds {
		if err := c.measure(ctx, &c.alone); err != nil {
			return fmt.Errorf("the good caller alone: %w", err)
		}
		many, err := post.Start(c.many)
		if err != nil {
			return err
		}
		begun := time.Now()
		many.Record()
		err = c.measure(ctx, &c.beside)
		c.took += time.Since(begun)
		c.answered += many.Progress().Completed
		answers, ended := many.Stop()
		c.answers.add(answers)
		if err = errors.Join(err, ended); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) measure(ctx context.Context, into *latencies) error {
	r, err := post.Start(c.good)
	if err != nil {
		return err
	}
	err = sleep(ctx, c.window/10) // until its token is known
	r.Record()
	err = errors.Join(err, sleep(ctx, c.window))
	latency, ended := r.Stop()
	into.add(latency)
	return errors.Join(err, ended)
}

// neighbour says what the crowd did to the good caller.
func (c *crowd) neighbour() string {
	p50, p99 := c.alone.median()
	p50Beside, p99Beside := c.beside.median()
	return fmt.Sprintf("another caller's p50 %s -> %s, p99 %s -> %s", p50, p50Beside, p99, p99Beside)
}

// overload has one caller offer ten times its quota, and another go on as before. How much of what that does to the other is the machine's
// doing is shown by the same requests to a handler that does nothing, in a process of its own.
func overload(ctx context.Context, l *lab) (string, error) {
	broker, err := l.startService(evhubName)
	if err != nil {
		return "", err
	}
	defer broker.stop()
	s, err := l.startGatewayWith(&gatewayConfig{Broker: broker.peer.Addr, Issuer: broker.issuer, Rate: quotaRate})
	if err != nil {
		return "", err
	}
	defer s.stop()
	list, err := tokens(ctx, s, 2)
	if err != nil {
		return "", err
	}
	var stored, refused atomic.Int64
	check := func(a post.Answer) error {
		switch {
		case a.Status == http.StatusCreated:
			stored.Add(1)
		case a.Status == http.StatusTooManyRequests && a.RetryAfter:
			refused.Add(1)
		default:
			return fmt.Errorf("answered %d, with Retry-After: %v: %s", a.Status, a.RetryAfter, a.Body)
		}
		return nil
	}
	c := l.newCrowd(s, list[0])
	c.many = post.Options{Addr: s.api, Path: onePath, Tokens: list[1:], Body: halfKB(), Events: 1, Conns: 16, PerSec: 10 * quotaRate, Check: check}
	if err := c.run(ctx); err != nil {
		return "", err
	}
	elsewhere, err := l.elsewhere(ctx, s, &c.many, list[0])
	if err != nil {
		return "", err
	}
	p50, p99 := c.answers.median()
	return fmt.Sprintf("answers p50 %s, p99 %s, all 429 with Retry-After; %.0f stored and %.0f refused a second; %s; with these requests at a bare handler instead: %s",
		p50, p99, float64(stored.Load())/c.took.Seconds(), float64(refused.Load())/c.took.Seconds(), c.neighbour(), elsewhere), nil
}

// elsewhere says what many requests do to a caller of s while they are another process's to answer.
func (l *lab) elsewhere(ctx context.Context, s *server, many *post.Options, token string) (string, error) {
	bare, err := l.startService(asHTTP)
	if err != nil {
		return "", err
	}
	defer bare.stop()
	c := l.newCrowd(s, token)
	c.many = *many
	c.many.Addr, c.many.Check = bare.api, nil
	if err := c.run(ctx); err != nil {
		return "", err
	}
	return c.neighbour(), nil
}

func (l *lab) newCrowd(s *server, token string) *crowd {
	return &crowd{rounds: l.o.runs, window: min(l.o.run, crowdTime),
		good: post.Options{Addr: s.api, Path: onePath, Tokens: []string{token}, Body: halfKB(), Events: 1, Conns: 4, PerSec: goodPerSec}}
}

// forged floods evhub gateway with tokens that the issuer did not sign, half of them with a key id that it does not know, and counts how
// often that makes it fetch the issuer's keys.
func forged(ctx context.Context, l *lab) (string, error) {
	keys, err := startKeys()
	if err != nil {
		return "", err
	}
	defer keys.server.Close()
	broker, err := l.startService(evhubName)
	if err != nil {
		return "", err
	}
	defer broker.stop()
	s, err := l.startGatewayWith(&gatewayConfig{Broker: broker.peer.Addr, Issuer: keys.url})
	if err != nil {
		return "", err
	}
	defer s.stop()
	list, err := tokens(ctx, s, 1)
	if err != nil {
		return "", err
	}
	signed, err := forge(list[0])
	if err != nil {
		return "", err
	}
	c := l.newCrowd(s, list[0])
	c.many = post.Options{Addr: s.api, Path: onePath, Tokens: signed, Body: halfKB(), Events: 1, Conns: 16, Check: func(a post.Answer) error {
		later := a.Status == http.StatusServiceUnavailable && a.RetryAfter // of an unknown key id: the keys were fetched a moment ago
		if a.Status != http.StatusUnauthorized && !later {
			return fmt.Errorf("answered %d: %s", a.Status, a.Body)
		}
		return nil
	}}
	before, begun := keys.fetches.Load(), time.Now()
	if err := c.run(ctx); err != nil {
		return "", err
	}
	_, p99 := c.answers.median()
	return fmt.Sprintf("%d key fetches in %.0f s; %.0f tokens refused a second, p99 %s; %s", keys.fetches.Load()-before, time.Since(begun).Seconds(),
		float64(c.answered)/c.took.Seconds(), p99, c.neighbour()), nil
}

// keys is an issuer in this process, which counts how often its keys are fetched.
type keys struct {
	url     string
	server  *http.Server
	fetches atomic.Int64
}

func startKeys() (*keys, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &keys{url: "http://" + ln.Addr().String()}
	i, err := issuer.New(issuer.Options{URL: k.url, Audience: audience})
	if err != nil {
		ln.Close()
		return nil, err
	}
	k.server = &http.Server{ReadHeaderTimeout: stopTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jwks") {
			k.fetches.Add(1)
		}
		i.ServeHTTP(w, r)
	})}
	go k.server.Serve(ln)
	return k, nil
}

// forge makes tokens of a good one: of both kinds, with a signature that is not its own, and of one with a key id that is not there.
func forge(good string) ([]string, error) {
	parts := strings.Split(good, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("a token of %d parts", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(header, &fields); err != nil {
		return nil, err
	}
	list := make([]string, tokensMax)
	for i := range list {
		signature[i]++
		if i%2 == 0 {
			fields["kid"] = fmt.Sprintf("no such key %d", i)
			if header, err = json.Marshal(fields); err != nil {
				return nil, err
			}
			list[i] = base64.RawURLEncoding.EncodeToString(header) + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature)
		} else {
			list[i] = parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature)
		}
	}
	return list, nil
}
