package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/evhub-dev/evhub/bench/evhubd"
	"github.com/evhub-dev/evhub/bench/toy"
)

// The servers that this binary can be, by its first argument.
const (
	asEngine = "engine" // evhub without its command
	asRelay  = "relay"
	asSink   = "sink"
)

var ownServers = []string{asEngine, asRelay, asSink}

// ready is the line a server prints once it can be used, in the form of evhub serve --json. Admin is where an own server can be looked
// into, where asked for.
type ready struct {
	AMQP  string `json:"amqp"`
	Admin string `json:"admin"`
}

// serve is one of our own servers. It ends when its standard input does, and so with its parent.
func serve(name string, args []string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	memory := f.Int64("memory", 1<<30, "`bytes` for the engine's events")
	pprof := f.String("pprof", "", "serve net/http/pprof and /memory at `host:port`")
	if err := f.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := ready{AMQP: ln.Addr().String()}
	if *pprof != "" {
		debug, err := net.Listen("tcp", *pprof)
		if err != nil {
			return err
		}
		r.Admin = "http://" + debug.Addr().String()
		go evhubd.ServeDebug(debug)
	}
	failed := make(chan error, 1)
	if name == asEngine {
		e, err := evhubd.Start(*memory, hubs()...)
		if err != nil {
			return err
		}
		go func() { failed <- e.Serve(ln) }()
	} else {
		s := &toy.Server{Sink: name == asSink}
		go func() { failed <- s.Serve(ln) }()
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
