// Bench measures evhub beside its yardsticks, in one command:
//
//	go run ./bench
//
// The yardsticks are a relay and a sink of our own (package toy): AMQP 1.0 peers that parse frames and forward or drop transfers, and do
// nothing else. What evhub uses beyond them is its own cost. Other brokers run the same cases with the same generator: RabbitMQ from
// Debian's packages, ActiveMQ Artemis and Qpid Broker-J from Maven Central (bench/peers); -peers none leaves them out.
//
// Every server is a process of its own on a random loopback port, so that its processor time is told from the client's, and is new for
// each run. Runs of one case alternate between the servers; a figure is the median of the runs, a ratio the median of the ratios within
// a run. evhub's log is filled to its bound before each run, so that what is measured includes the forgetting.
//
// The cases of the notification service post over HTTP (package post), to evhub serve, to a handler that answers 201 and does nothing (http,
// the yardstick), to evhub gateway, which stores in an evhub serve over AMQP, and to a handler that does the same by a call of the official
// SDK for each request (direct); what the broker below them uses is counted with the client. What the gateway adds to the broker's own
// latency is its difference to direct.
//
// With two cores for client and server, events per second say as much about the client as about the server. Events per server
// core-second is therefore the first figure.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	runs     int
	run      time.Duration
	warmup   time.Duration
	memory   int64 // bytes for evhub's events
	cases    []string
	peers    []string
	evhub    string // path of the binary; "": build it
	profiles string // directory
	json     bool
	gate     bool
	restarts int // of the notification service
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	if len(args) > 0 && slices.Contains(ownServers, args[0]) {
		return report(errw, serve(args[0], args[1:], in, out))
	}
	o, err := parse(args, errw)
	if err != nil {
		return 2
	}
	l, err := newLab(o, errw)
	if err != nil {
		return report(errw, err)
	}
	defer l.close()
	if o.gate {
		return report(errw, l.gate(ctx, out))
	}
	r, err := l.all(ctx)
	if err != nil {
		return report(errw, err)
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return report(errw, e.Encode(r))
	}
	r.writeMarkdown(out)
	return 0
}

func report(errw io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(errw, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, errw io.Writer) (*options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errw)
	o := &options{restarts: 100}
	var seconds, warmup float64
	var memoryMiB int64
	var quick bool
	var names, peers string
	f.IntVar(&o.runs, "runs", 7, "runs of each case; figures are medians")
	f.Float64Var(&seconds, "seconds", 20, "length of a run")
	f.Float64Var(&warmup, "warmup", 2, "`seconds` of load before a run counts")
	f.Int64Var(&memoryMiB, "memory", 1024, "`MiB` for evhub's events; the log is filled to that before a run")
	f.StringVar(&names, "case", "", "only these cases, by `NAME,NAME`: "+strings.Join(caseNames(), ", "))
	f.StringVar(&peers, "peers", "all", "other brokers to measure: all, none, or `NAME,NAME` of "+strings.Join(foreignServers(), ", "))
	f.StringVar(&o.evhub, "evhub", "", "evhub's binary at `PATH` (default: ./cmd/evhub is built)")
	f.StringVar(&o.profiles, "profile", "", "write a processor profile of evhub and its yardstick for each case into `DIR`; evhub is then its engine alone")
	f.BoolVar(&quick, "quick", false, "one run of 2 seconds each, 64 MiB, no other brokers: does it all work?")
	f.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	f.BoolVar(&o.gate, "gate", false, "compare evhub with the limits that a change must not pass, in 30 seconds at most")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if quick {
		o.runs, seconds, warmup, memoryMiB, peers, o.restarts = 1, 2, 0.5, 64, "none", 4
	}
	o.run, o.warmup = time.Duration(seconds*float64(time.Second)), time.Duration(warmup*float64(time.Second))
	o.memory = memoryMiB << 20
	err := o.choose(names, peers)
	if err == nil && (o.runs < 1 || o.run < 100*time.Millisecond || memoryMiB < 8) {
		err = fmt.Errorf("-runs %d -seconds %v -memory %d: too little to measure", o.runs, seconds, memoryMiB)
	}
	if err != nil {
		fmt.Fprintln(errw, "bench:", err)
	}
	return o, err
}

// choose checks the names of cases and peers.
func (o *options) choose(names, peers string) (err error) {
	if o.cases, err = pick("case", names, caseNames()); err != nil {
		return err
	}
	if peers == "none" {
		return nil
	}
	if peers == "all" {
		peers = ""
	}
	o.peers, err = pick("peer", peers, foreignServers())
	return err
}

func pick(what, names string, known []string) ([]string, error) {
	if names == "" {
		return known, nil
	}
	list := strings.Split(names, ",")
	for _, name := range list {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no %s %q; there are %s", what, name, strings.Join(known, ", "))
		}
	}
	return list, nil
}
