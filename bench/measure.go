package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/proc"
)

// sample is what one run of a case showed.
type sample struct {
	PerCoreSecond float64 // events per second of the server's processor time; 0: not known here
	PerSecond     float64
	P50, P99      time.Duration
	ServerCores   float64
	ClientCores   float64
	OtherCores    float64 // used by neither: noise
	RSSBytes      int64
}

// all runs the chosen cases.
func (l *lab) all(ctx context.Context) (*results, error) {
	r := newResults(l)
	for i := range benchCases {
		c := &benchCases[i]
		if !slices.Contains(l.o.cases, c.name) {
			continue
		}
		row, err := l.row(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		r.Cases = append(r.Cases, *row)
	}
	for _, f := range figures {
		if !slices.Contains(l.o.cases, f.name) {
			continue
		}
		value, err := f.measure(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		l.logf("%s: %s", f.name, value)
		r.Figures = append(r.Figures, figureRow{f.name, f.title, value, f.reach})
	}
	return r, nil
}

// row runs a case, servers in turn. evhub and its yardstick must work; another broker that fails is left out from there on.
func (l *lab) row(ctx context.Context, c *benchCase) (*caseRow, error) {
	names := []string{evhubName, c.yardstick}
	if c.post != nil {
		names = append(names, gatewayName)
		if c.post.Events == 1 { // it knows nothing of batches
			names = append(names, asDirect)
		}
	}
	if c.peers {
		names = append(names, l.o.peers...)
	}
	row := &caseRow{Name: c.name, Title: c.title, Reach: c.reach, Yardstick: c.yardstick}
	failed := make(map[string]error)
	samples := make(map[string][]sample)
	for n := range l.o.runs {
		for _, name := range names {
			if failed[name] != nil {
				continue
			}
			s, err := l.sample(ctx, c, name)
			if err != nil && (name == evhubName || name == c.yardstick || ctx.Err() != nil) {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err != nil {
				failed[name] = err
				l.logf("%s %s: %v", c.name, name, err)
				continue
			}
			samples[name] = append(samples[name], *s)
			l.logf("%-12s %d/%d %-9s %9.0f /core-s %9.0f /s  p50 %v p99 %v  cores %.2f server %.2f client %.2f other", c.name, n+1, l.o.runs, name,
				s.PerCoreSecond, s.PerSecond, s.P50.Round(time.Microsecond), s.P99.Round(time.Microsecond), s.ServerCores, s.ClientCores, s.OtherCores)
		}
	}
	for _, name := range names {
		row.Servers = append(row.Servers, summarize(name, samples[name], samples[c.yardstick], failed[name]))
	}
	return row, nil
}

// sample starts a server, puts it under the case's load and stops it.
func (l *lab) sample(ctx context.Context, c *benchCase, name string) (*sample, error) {
	start, begin := l.start, l.beginLoad
	if c.post != nil {
		start, begin = l.startService, l.beginPosts
	}
	s, err := start(name)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if name == evhubName {
		if err := l.fill(s); err != nil {
			return nil, fmt.Errorf("filling the log: %w", err)
		}
	}
	runtime.GC()
	r, err := begin(ctx, c, s)
	if err != nil {
		return nil, err
	}
	result, err := l.window(ctx, c, s, r)
	latency, ended := r.Stop()
	if err = errors.Join(ended, err); err != nil {
		l.logf("%s", s.log)
		return nil, err
	}
	if latency.Count() > 0 {
		result.P50, result.P99 = latency.Quantile(0.5), latency.Quantile(0.99)
	}
	return result, nil
}

// underway is a load that was begun: load.Run or post.Run.
type underway interface {
	Progress() load.Progress
	Record()
	Stop() (*load.Histogram, error)
}

func (l *lab) beginLoad(_ context.Context, c *benchCase, s *server) (underway, error) {
	o := c.load
	o.Peer = s.peer
	if c.sdk {
		o.Peer.Token = false // go-amqp has no put-token; SASL PLAIN has the same rights
		return load.StartSDK(o)
	}
	return load.StartRaw(o)
}

// window lets the load run and measures it from a moment after its start.
func (l *lab) window(ctx context.Context, c *benchCase, s *server, r underway) (*sample, error) {
	if err := sleep(ctx, l.o.warmup); err != nil {
		return nil, err
	}
	if l.o.profiles != "" && s.admin != "" {
		profiled := make(chan struct{})
		go func() {
			defer close(profiled)
			if err := l.profile(c, s); err != nil {
				l.logf("profile: %v", err)
			}
		}()
		defer func() { <-profiled }()
	}
	r.Record()
	from, err := take(s, r)
	if err == nil {
		err = sleep(ctx, l.o.run)
	}
	if err != nil {
		return nil, err
	}
	to, err := take(s, r)
	if err != nil {
		return nil, err
	}
	return between(from, to, c.fanOut)
}

// moment is all counters at one time.
type moment struct {
	at             time.Time
	progress       load.Progress
	server, client proc.Usage
	busy           time.Duration
}

func take(s *server, r underway) (m moment, err error) {
	m.at, m.progress = time.Now(), r.Progress()
	m.server, err = proc.Tree(s.cmd.Process.Pid)
	if errors.Is(err, proc.ErrUnsupported) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if m.client, err = proc.Tree(os.Getpid()); err != nil { // the server is a descendant of this process
		return m, err
	}
	m.client.CPU -= m.server.CPU
	m.busy, err = proc.Busy()
	return m, err
}

func between(from, to moment, fanOut bool) (*sample, error) {
	events := to.progress.Completed - from.progress.Completed
	if fanOut {
		events = to.progress.Delivered - from.progress.Delivered
	}
	if events == 0 {
		return nil, errors.New("not one event came through")
	}
	wall := to.at.Sub(from.at)
	cores := func(d time.Duration) float64 { return float64(d) / float64(wall) }
	server, client := to.server.CPU-from.server.CPU, to.client.CPU-from.client.CPU
	s := &sample{
		PerSecond:   float64(events) / wall.Seconds(),
		ServerCores: cores(server), ClientCores: cores(client), OtherCores: max(0, cores(to.busy-from.busy-server-client)),
		RSSBytes: to.server.RSSBytes,
	}
	if server > 0 {
		s.PerCoreSecond = float64(events) / server.Seconds()
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// fill brings evhub's log to its bound: until then an append takes new memory from the system, and afterwards it takes what the oldest
// events leave.
func (l *lab) fill(s *server) error {
	o := load.Options{Peer: s.peer, Events: 1, Bytes: kib, InFlight: 1000}
	r, err := load.StartRaw(o)
	if err != nil {
		return err
	}
	for until := time.Now().Add(time.Minute); r.Progress().Completed*kib < l.o.memory && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond)
	}
	done := r.Progress().Completed * kib
	if _, err := r.Stop(); err != nil {
		return err
	}
	if done < l.o.memory {
		return fmt.Errorf("%d bytes in a minute", done)
	}
	return nil
}

// profile keeps a processor profile of the server for almost the length of the run.
func (l *lab) profile(c *benchCase, s *server) error {
	res, err := http.Get(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.admin, max(1, int(l.o.run.Seconds())-1)))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.o.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.o.profiles, c.name+"-"+s.name+".pprof"), data, 0o644)
}
