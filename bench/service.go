package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/bench/post"
	"github.com/evhub-dev/evhub/internal/issuer"
)

const (
	gatewayName = "gateway" // evhub gateway, which stores in an evhub serve over AMQP; what is measured is the gateway
	onePath     = "/v1/hubs/" + hubName + "/messages"
	batchPath   = onePath + ":batch"
	audience    = "evhub-development" // of evhub serve's issuer
	tokensMax   = 16
)

// halfKB is an order as a shop would post it.
func halfKB() []byte {
	return []byte(`{"customer":"` + strings.Repeat("x", 200) + `","items":[` + strings.Repeat(`{"sku":"A-1","n":3},`, 13) + `{"sku":"B","n":1}]}`)
}

// hundred is a batch of 100 messages with bodies of so many bytes.
func hundred(bodyBytes int) []byte {
	item := `{"body":{"text":"` + strings.Repeat("x", bodyBytes-len(`{"text":""}`)) + `"}},`
	return []byte(`{"items":[` + strings.TrimSuffix(strings.Repeat(item, 100), ",") + `]}`)
}

// startService starts a server that takes messages over HTTP.
func (l *lab) startService(name string) (*server, error) {
	var s *server
	var err error
	switch {
	case name == evhubName && (l.evhub == "" || l.o.profiles != ""):
		s, err = l.startOwn(name, l.self, asBroker, "-memory", fmt.Sprint(l.o.memory), "-pprof", "127.0.0.1:0")
	case name == evhubName:
		s, err = l.startOwn(name, l.evhub, l.serveArgs()...)
	case name == gatewayName:
		s, err = l.startGateway()
	case name == asDirect:
		s, err = l.startDirect()
	default:
		s, err = l.startOwn(name, l.self, name, "-pprof", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// startGateway starts evhub gateway before a broker of its own, with the broker's issuer.
func (l *lab) startGateway() (*server, error) {
	broker, err := l.startService(evhubName)
	if err != nil {
		return nil, err
	}
	s, err := l.startGatewayWith(&gatewayConfig{Broker: broker.peer.Addr, Issuer: broker.issuer})
	if err != nil {
		broker.stop()
		return nil, err
	}
	s.below = broker
	return s, nil
}

// gatewayConfig is what differs between the gateways of the bench.
type gatewayConfig struct {
	Address string // of the API; "": any
	Broker  string // host:port
	Issuer  string // URL
	Rate    int    // requests a second of each caller; 0: any number

	DrainWait time.Duration // between being not ready and taking no more
}

// file gives gateway.yaml, as JSON.
func (c *gatewayConfig) file() ([]byte, error) {
	type object = map[string]any
	anywhere := object{"address": "127.0.0.1:0"}
	api := anywhere
	if c.Address != "" {
		api = object{"address": c.Address}
	}
	return json.Marshal(object{
		"listeners": object{"api": api, "probes": anywhere},
		"targets":   object{"broker": object{"broker": object{"address": c.Broker}}},
		"routes":    object{hubName: object{"target": "broker"}},
		"issuers":   []object{{"url": c.Issuer, "audiences": []string{audience}, "insecure": true}},
		"rules":     []object{{"issuer": c.Issuer, "kind": "any", "claim": "scope", "value": "send:*", "hubs": []string{"*"}, "rate": c.Rate}},
		"drain":     object{"wait": c.DrainWait.String()},
	})
}

// startGatewayWith starts evhub gateway and waits until it is ready.
func (l *lab) startGatewayWith(c *gatewayConfig) (*server, error) {
	if l.evhub == "" {
		return nil, errors.New("cmd/evhub does not build")
	}
	text, err := c.file()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(l.dir, "gateway-*.yaml")
	if err != nil {
		return nil, err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	s, err := l.startOwn(gatewayName, l.evhub, "gateway", "--json", "--die-with-stdin", "--config", file.Name())
	if err != nil {
		return nil, err
	}
	s.issuer = c.Issuer
	if err := awaitReady(s.probes); err != nil {
		defer s.stop()
		return nil, fmt.Errorf("%w: %s", err, s.log)
	}
	return s, nil
}

// awaitReady asks until the service has its keys and its way to the broker.
func awaitReady(probes string) error {
	until := time.Now().Add(startTime)
	for {
		res, err := http.Get(probes + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("/readyz answers %s", res.Status)
		}
		if time.Now().After(until) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// tokens gets so many from the server's issuer, each for a caller of its own. A server without one does not ask for any.
func tokens(ctx context.Context, s *server, n int) ([]string, error) {
	if s.issuer == "" {
		return []string{""}, nil
	}
	list := make([]string, n)
	for i := range list {
		var err error
		if list[i], err = issuer.Request(ctx, http.DefaultClient, s.issuer, fmt.Sprintf("caller-%d", i), ""); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (l *lab) beginPosts(ctx context.Context, c *benchCase, s *server) (underway, error) {
	o := *c.post
	o.Addr = s.api
	var err error
	if o.Tokens, err = tokens(ctx, s, min(o.Conns, tokensMax)); err != nil {
		return nil, err
	}
	if c.share > 0 {
		all, err := l.capacity(ctx, o)
		if err != nil {
			return nil, err
		}
		o.PerSec = all * c.share
	}
	return post.Start(o)
}

// capacity is how many requests a closed loop gets done in a second.
func (l *lab) capacity(ctx context.Context, o post.Options) (float64, error) {
	r, err := post.Start(o)
	if err != nil {
		return 0, err
	}
	err = sleep(ctx, l.o.warmup)
	from, begin := r.Progress().Completed, time.Now()
	err = errors.Join(err, sleep(ctx, max(time.Second, l.o.run/4)))
	n, took := r.Progress().Completed-from, time.Since(begin)
	if _, ended := r.Stop(); ended != nil || err != nil {
		return 0, errors.Join(ended, err)
	}
	return float64(n) / float64(o.Events) / took.Seconds(), nil
}

// idOf finds the id in the answer to a single message.
func idOf(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}
