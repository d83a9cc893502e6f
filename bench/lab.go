package main

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/proc"
	"github.com/evhub-dev/evhub/internal/auth"
)

const (
	evhubName = "evhub"
	startTime = 90 * time.Second // for a server to come up; a Java broker on a busy machine
	stopTime  = 20 * time.Second
)

//go:embed peers
var peerFiles embed.FS

// foreign says how the brokers of others are reached; peers/NAME/run.sh says how they are started.
var foreign = map[string]load.Peer{
	"rabbitmq": {User: "guest", Password: "guest", Target: "/queue/bench", Source: func(int) string { return "/queue/bench" }},
	"artemis":  {Target: "bench", Source: func(int) string { return "bench" }, Capability: "queue"},
	"brokerj":  {Target: "bench", Source: func(int) string { return "bench" }},
}

func foreignServers() []string {
	names := make([]string, 0, len(foreign))
	for name := range foreign {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// lab starts servers.
type lab struct {
	o     *options
	errw  io.Writer
	self  string
	evhub string // the product's binary; "": the engine stands in
	dir   string // temporary
	cache string // what peers installed, kept
	why   map[string]error
}

func newLab(o *options, errw io.Writer) (*lab, error) {
	l := &lab{o: o, errw: errw, evhub: o.evhub, why: make(map[string]error)}
	var err error
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.dir, err = os.MkdirTemp("", "evhub-bench-"); err != nil {
		return nil, err
	}
	if l.evhub == "" && !o.gate {
		l.build()
	}
	if len(o.peers) > 0 && !o.gate {
		err = l.installPeers()
	}
	return l, err
}

func (l *lab) close() { os.RemoveAll(l.dir) }

func (l *lab) logf(format string, args ...any) { fmt.Fprintf(l.errw, format+"\n", args...) }

// build builds the product as it is shipped.
func (l *lab) build() {
	path := filepath.Join(l.dir, "evhub")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/evhub-dev/evhub/cmd/evhub")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.logf("cmd/evhub does not build, so its engine alone is measured: %s", bytes.TrimSpace(out))
		return
	}
	l.evhub = path
}

// installPeers has each peer fetch what it needs. One that cannot be had is left out, and the report says why.
func (l *lab) installPeers() error {
	base, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	l.cache = filepath.Join(base, "evhub-bench")
	if err := os.CopyFS(filepath.Join(l.dir, "scripts"), peerFiles); err != nil {
		return err
	}
	for _, name := range l.o.peers {
		l.logf("%s: installing", name)
		cmd := exec.Command("bash", l.script(name), "install", filepath.Join(l.cache, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			l.why[name] = fmt.Errorf("cannot be installed: %w: %s", err, last(out))
			l.logf("%s: %v", name, l.why[name])
		}
	}
	return nil
}

func (l *lab) script(name string) string {
	return filepath.Join(l.dir, "scripts", "peers", name, "run.sh")
}

// last is the last line of a program's output.
func last(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// server is a running server.
type server struct {
	name  string
	peer  load.Peer
	admin string // its other address, if it has one

	api, issuer, probes string // of a notification service

	below *server // what it needs and is stopped after it; may be nil
	cmd   *exec.Cmd
	stdin io.Closer
	log   *tail
}

// start starts a server and waits until it can be used.
func (l *lab) start(name string) (*server, error) {
	if err := l.why[name]; err != nil {
		return nil, err
	}
	var s *server
	var err error
	switch _, isForeign := foreign[name]; {
	case isForeign:
		s, err = l.startForeign(name)
	case name == evhubName && l.evhub != "" && l.o.profiles == "":
		s, err = l.startOwn(name, l.evhub, l.serveArgs()...)
	case name == evhubName:
		s, err = l.startEngine()
	default:
		s, err = l.startOwn(name, l.self, name, "-pprof", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func (l *lab) startEngine() (*server, error) {
	return l.startOwn(evhubName, l.self, asEngine, "-memory", fmt.Sprint(l.o.memory), "-pprof", "127.0.0.1:0")
}

func (l *lab) serveArgs() []string {
	args := []string{"serve", "--json", "--die-with-stdin", "--listen-amqp", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0",
		"--memory", fmt.Sprint(l.o.memory)}
	for _, h := range hubs() {
		args = append(args, "--hub", fmt.Sprintf("%s:%d:%s", h.Name, h.Partitions, strings.Join(h.Groups, ",")))
	}
	return args
}

// startOwn starts a server that says in a line of JSON where it listens.
func (l *lab) startOwn(name, path string, args ...string) (*server, error) {
	s, out, err := launch(name, exec.Command(path, args...))
	if err != nil {
		return nil, err
	}
	var r ready
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&r); err != nil {
		s.stop()
		return nil, fmt.Errorf("it did not say that it is ready: %w: %s", err, s.log)
	}
	go io.Copy(io.Discard, out)
	s.admin, s.api, s.issuer, s.probes = r.Admin, strings.TrimPrefix(r.API, "http://"), r.Issuer, r.Probes
	s.peer = eventHubs(r.AMQP)
	s.peer.Latest = name == evhubName
	return s, nil
}

// eventHubs is how clients reach partition 0 of the hub.
func eventHubs(addr string) load.Peer {
	return load.Peer{
		Addr: addr, User: auth.RootKeyName, Password: auth.RootKey, Token: true,
		Target: hubName + "/Partitions/0",
		Source: func(group int) string {
			return fmt.Sprintf("%s/ConsumerGroups/%s/Partitions/0", hubName, groups()[group])
		},
	}
}

// startForeign starts another broker by its script, on a port that was free a moment ago.
func (l *lab) startForeign(name string) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().(*net.TCPAddr)
	ln.Close()
	work, err := os.MkdirTemp(l.dir, name)
	if err != nil {
		return nil, err
	}
	s, out, err := launch(name, exec.Command("bash", l.script(name), "run", filepath.Join(l.cache, name), work, fmt.Sprint(addr.Port)))
	if err != nil {
		return nil, err
	}
	go io.Copy(s.log, out)
	s.peer = foreign[name]
	s.peer.Addr = addr.String()
	if err := s.awaitAMQP(); err != nil {
		s.stop()
		l.logf("%s", s.log)
		return nil, err
	}
	return s, nil
}

func launch(name string, cmd *exec.Cmd) (*server, io.Reader, error) {
	s := &server{name: name, cmd: cmd, log: &tail{}}
	cmd.Stderr = s.log
	cmd.WaitDelay = time.Second // for what a killed server leaves behind that holds its pipes
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	s.stdin = in
	return s, out, cmd.Start()
}

// awaitAMQP tries to open a session until that works.
func (s *server) awaitAMQP() error {
	until := time.Now().Add(startTime)
	for {
		reached := load.Reach(&s.peer)
		if reached == nil {
			return nil
		}
		if _, err := proc.Tree(s.cmd.Process.Pid); err != nil && !errors.Is(err, proc.ErrUnsupported) {
			return errors.New("it ended")
		}
		if time.Now().After(until) {
			return fmt.Errorf("no AMQP at %s after %s: %w", s.peer.Addr, startTime, reached)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the server: own ones by their standard input, others by a signal; whoever stays is killed.
func (s *server) stop() {
	s.stdin.Close()
	if _, isForeign := foreign[s.name]; isForeign {
		s.cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.AfterFunc(stopTime, func() {
		proc.Kill(s.cmd.Process.Pid)
		s.cmd.Process.Kill()
	})
	defer late.Stop()
	s.cmd.Wait()
	if s.below != nil {
		s.below.stop()
	}
}

// tail keeps the end of what a server logs. It is safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > tailBytes {
		t.b = append(t.b[:0], t.b[len(t.b)-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
