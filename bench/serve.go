package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/evhub-dev/evhub/bench/evhubd"
	"github.com/evhub-dev/evhub/bench/toy"
	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
)

// The servers that this binary can be, by its first argument.
const (
	asEngine = "engine" // evhub without its command
	asRelay  = "relay"
	asSink   = "sink"
	asBroker = "broker" // evhub serve, to be looked into
	asHTTP   = "http"
)

var ownServers = []string{asEngine, asRelay, asSink, asBroker, asHTTP, asDirect}

// ready is the line a server prints once it can be used, in the form of evhub serve and evhub gateway with --json. Admin is where an own
// server can be looked into, where asked for.
type ready struct {
	AMQP   string `json:"amqp"`
	API    string `json:"api"` // http://host:port, or host:port
	Issuer string `json:"issuer"`
	Admin  string `json:"admin"`
	Probes string `json:"probes"` // of evhub gateway
}

// serve is one of our own servers. It ends when its standard input does, and so with its parent.
func serve(name string, args []string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	memory := f.Int64("memory", 1<<30, "`bytes` for the engine's events")
	below := f.String("broker", "", "`host:port` of the broker that a "+asDirect+" sends to")
	pprof := f.String("pprof", "", "serve net/http/pprof and /memory at `host:port`")
	if err := f.Parse(args); err != nil {
		return err
	}
	var r ready
	if *pprof != "" {
		debug, err := net.Listen("tcp", *pprof)
		if err != nil {
			return err
		}
		r.Admin = "http://" + debug.Addr().String()
		go evhubd.ServeDebug(debug)
	}
	run := runToy
	switch name {
	case asEngine:
		run = runEngine
	case asBroker:
		run = runBroker
	case asDirect:
		run = func(_ string, _ int64, r *ready, failed chan<- error) error { return runDirect(*below, r, failed) }
	}
	failed := make(chan error, 1)
	if err := run(name, *memory, &r, failed); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(ended)
	}()
	select {
	case err := <-failed:
		return err
	case <-ended:
		return nil
	}
}

// runToy starts one of the yardsticks.
func runToy(name string, _ int64, r *ready, failed chan<- error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if name == asHTTP {
		r.API = ln.Addr().String()
		go func() { failed <- http.Serve(ln, &toy.HTTP{}) }()
		return nil
	}
	r.AMQP = ln.Addr().String()
	s := &toy.Server{Sink: name == asSink}
	go func() { failed <- s.Serve(ln) }()
	return nil
}

func runEngine(_ string, memory int64, r *ready, failed chan<- error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e, err := evhubd.Start(memory, hubs()...)
	if err != nil {
		return err
	}
	r.AMQP = ln.Addr().String()
	go func() { failed <- e.Serve(ln) }()
	return nil
}

// runBroker starts what evhub serve starts.
func runBroker(_ string, memory int64, r *ready, failed chan<- error) error {
	c := config.Default()
	for _, h := range hubs() {
		if err := c.AddHub(config.Hub{Name: h.Name, Partitions: h.Partitions, Groups: h.Groups}); err != nil {
			return err
		}
	}
	anywhere := []string{"127.0.0.1:0"}
	c.Evhub.Memory = memory
	c.Evhub.Listeners = config.Listeners{AMQP: anywhere, API: anywhere, Admin: anywhere}
	b, err := broker.Start(context.Background(), broker.Options{Config: c})
	if err != nil {
		return err
	}
	r.AMQP, r.API, r.Issuer = b.Address(broker.AMQP), b.Address(broker.API), b.IssuerURL()
	go func() { failed <- b.Run(context.Background()) }()
	return nil
}

const (
	hubName        = "bench"
	idleHub        = "idle" // has a partition for each idle connection
	idlePartitions = 1000
	groupsMax      = 8
)

// groups are those of hubName, $Default first.
func groups() []string {
	names := []string{"$Default"}
	for i := 1; i < groupsMax; i++ {
		names = append(names, fmt.Sprintf("g%d", i))
	}
	return names
}

func hubs() []evhubd.Hub {
	own := slices.Clone(groups()[1:])
	return []evhubd.Hub{{Name: hubName, Partitions: 1, Groups: own}, {Name: idleHub, Partitions: idlePartitions, Groups: own[:1]}}
}
