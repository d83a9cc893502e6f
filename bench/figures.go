package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/bench/evhubd"
	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/proc"
)

// figure is a case that is one number, or a few, and not a load.
type figure struct {
	name, title, reach string
	measure            func(context.Context, *lab) (string, error)
}

var figures = []figure{
	{"idle", "an idle connection with a session and a reader: heap and stack after a collection, 1,000 beyond 1,000", "<= 24 KiB", idle},
	{"partition", "an empty partition, of 1,000", "<= 1 KiB", partition},
	{"serve", "`evhub serve` from spawn to a healthy answer; resident memory then", "<= 15 ms; <= 25 MB", serveStart},
	{"engine", "engine started with a hub and stopped, in process", "p50 <= 60 us", engineStart},
	{
		"gateway-overload", "`evhub gateway`, one caller at 10 times its quota, another at 200/s",
		"answers < 5 ms, Retry-After always, the other's p99 < 2x", overload,
	},
	{
		"gateway-forged", "`evhub gateway`, forged tokens at full speed from 16 connections, a good caller at 200/s", "<= 2 key fetches a minute", forged,
	},
	{"gateway-restart", "`evhub gateway` drained or killed and started again under load, before a broker that stays", "0 acknowledged messages lost", restart},
}

// idle measures the server alone, in a process of its own: the connections' other ends live here.
func idle(ctx context.Context, l *lab) (string, error) {
	s, err := l.startEngine()
	if err != nil {
		return "", err
	}
	defer s.stop()
	var held load.Idle
	defer held.Close()
	var at [2]evhubd.Memory
	for round := range at {
		for i := range idlePartitions {
			p := s.peer
			p.Source = func(int) string {
				return fmt.Sprintf("%s/ConsumerGroups/%s/Partitions/%d", idleHub, groups()[round], i)
			}
			if err := held.Add(&p); err != nil {
				return "", fmt.Errorf("connection %d: %w", round*idlePartitions+i, err)
			}
		}
		if err := sleep(ctx, time.Second); err != nil { // for writers to give their buffers back
			return "", err
		}
		if at[round], err = s.memory(); err != nil {
			return "", err
		}
	}
	each := func(of func(evhubd.Memory) int64) float64 { return float64(of(at[1])-of(at[0])) / idlePartitions }
	heap := each(func(m evhubd.Memory) int64 { return m.HeapBytes })
	stack := each(func(m evhubd.Memory) int64 { return m.StackBytes })
	goroutines := each(func(m evhubd.Memory) int64 { return int64(m.Goroutines) })
	return fmt.Sprintf("%.1f KiB: heap %.1f, stack %.1f in %.2f goroutines", (heap+stack)/kib, heap/kib, stack/kib, goroutines), nil
}

// memory asks an own server what it holds.
func (s *server) memory() (m evhubd.Memory, err error) {
	res, err := http.Get(s.admin + "/memory")
	if err != nil {
		return m, err
	}
	defer res.Body.Close()
	return m, json.NewDecoder(res.Body).Decode(&m)
}

// partition compares an engine with a hub of 1,001 partitions to one with 1.
func partition(context.Context, *lab) (string, error) {
	const more = 1000
	var heap [2]int64
	for i, n := range []int{1, 1 + more} {
		before := evhubd.ReadMemory()
		e, err := evhubd.Start(0, evhubd.Hub{Name: hubName, Partitions: n})
		if err != nil {
			return "", err
		}
		heap[i] = evhubd.ReadMemory().HeapBytes - before.HeapBytes
		if err := e.Close(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d bytes", (heap[1]-heap[0])/more), nil
}

const startRuns = 40

// serveStart spawns the product and asks for its health until that is good.
func serveStart(ctx context.Context, l *lab) (string, error) {
	if l.evhub == "" {
		return "not measured: cmd/evhub does not build", nil
	}
	var took []time.Duration
	var rss int64
	for range startRuns {
		begin := time.Now()
		s, out, err := launch(evhubName, exec.CommandContext(ctx, l.evhub, "serve", "--json", "--die-with-stdin",
			"--listen-amqp", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0"))
		if err != nil {
			return "", err
		}
		var r ready
		if err := json.NewDecoder(out).Decode(&r); err == nil {
			err = healthy(r.Admin)
		}
		took = append(took, time.Since(begin))
		if err != nil {
			s.stop()
			return "", fmt.Errorf("%w: %s", err, s.log)
		}
		time.Sleep(100 * time.Millisecond) // idle means some time after the start
		u, err := proc.Tree(s.cmd.Process.Pid)
		s.stop()
		if err != nil {
			return "", err
		}
		rss = max(rss, u.RSSBytes)
	}
	slices.Sort(took)
	return fmt.Sprintf("p50 %s, p99 %s; %.1f MB", millis(took[startRuns/2]), millis(took[startRuns*99/100]), float64(rss)/1e6), nil
}

func healthy(admin string) error {
	res, err := http.Get(strings.TrimSuffix(admin, "/") + "/health")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/health answers %s", res.Status)
	}
	return nil
}

const engineRuns = 5000

func engineStart(context.Context, *lab) (string, error) {
	var h load.Histogram
	for range engineRuns {
		begin := time.Now()
		e, err := evhubd.Start(0, evhubd.Hub{Name: hubName, Partitions: 2})
		if err == nil {
			err = e.Close()
		}
		h.Add(int64(time.Since(begin)))
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("p50 %.1f us, p99 %.1f us", float64(h.Quantile(0.5))/1e3, float64(h.Quantile(0.99))/1e3), nil
}
