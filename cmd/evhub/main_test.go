package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// result is what a command left behind.
type result struct {
	code     int
	out, err string
}

// env is the environment of a command, and of nothing else.
type env map[string]string

func (e env) get(name string) string { return e[name] }

// evhub runs a command to its end. One that has no end is interrupted after a while.
func evhub(t *testing.T, e env, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errw bytes.Buffer
	code := run(ctx, append([]string{"evhub"}, args...), strings.NewReader(stdin), &out, &errw, e.get)
	return result{code, out.String(), errw.String()}
}

// ok wants the command to succeed, and gives its standard output.
func (r result) ok(t *testing.T) string {
	t.Helper()
	if r.code != exitDone {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	return r.out
}

// fails wants the command to fail with a text.
func (r result) fails(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			t.Errorf("no %q in: %s", text, r.err)
		}
	}
}

// server is a running evhub serve --json on ports of its own.
type server struct {
	AMQP, API, Issuer, Admin, ConnectionString string

	env    env            // of clients that go there
	people *safeBuffer    // standard error
	stdin  *io.PipeWriter // of --die-with-stdin
	stop   context.CancelFunc
	ended  chan struct{}
	code   int // once ended
}

func serve(t *testing.T, args ...string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	s := &server{people: new(safeBuffer), stdin: stdin, stop: stop, ended: make(chan struct{})}
	args = append([]string{"evhub", "serve", "--listen-amqp", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-admin", "127.0.0.1:0", "--json"}, args...)
	go func() {
		defer close(s.ended)
		defer stdout.Close()
		s.code = run(ctx, args, in, stdout, s.people, env{}.get)
	}()
	t.Cleanup(func() { stop(); <-s.ended; stdin.Close() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("serve printed no line: %s", s.people)
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(s); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	s.env = env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString}
	return s
}

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu    sync.Mutex // guards what follows
	b     bytes.Buffer
	wrote chan struct{} // closed at the next Write; nil if nobody waits for it
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrote != nil {
		close(s.wrote)
		s.wrote = nil
	}
	return s.b.Write(p)
}

// waitFor returns once text was written.
func (s *safeBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		said := s.b.String()
		if s.wrote == nil {
			s.wrote = make(chan struct{})
		}
		wrote := s.wrote
		s.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-wrote:
		case <-late:
			t.Fatalf("nobody wrote %q: %s", text, said)
		}
	}
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		says string
	}{
		{"serv", "unknown command \"serv\" for \"evhub\"\n  hint: did you mean serve or send? evhub --help lists all commands\n"},
		{"recieve", "unknown command \"recieve\" for \"evhub\"\n  hint: did you mean receive? "},
		{"xyzzy", "unknown command \"xyzzy\" for \"evhub\"\n  hint: evhub --help\n"},
		{"help serv", "unknown command \"serv\" for \"evhub\"\n  hint: evhub has config, "},
		{"help token foo", "unknown command \"foo\" for \"evhub token\"\n  hint: evhub token has jwt, sas\n"},
		{"token foo", "unknown command \"foo\" for \"evhub token\"\n  hint: evhub token has jwt, sas\n"},
		{"config chek x", "unknown command \"chek\" for \"evhub config\"\n  hint: evhub config has check\n"},
		{"gateway exampel", "unknown command \"exampel\" for \"evhub gateway\"\n  hint: evhub gateway has example, schema\n"},
		{"serve extra", "serve: 1 argument given; usage: evhub serve [flags]"},
		{"serve --listen-amq x", "unknown flag: --listen-amq"},
		{"serve --listen-amqp nowhere", `--listen-amqp: "nowhere" is not host:port`},
		{"serve --listen-admin 127.0.0.1:99999", `--listen-admin: "127.0.0.1:99999" has no port`},
		{"serve --memory cows", `--memory: "cows" is not a number of bytes`},
		{"serve --retention never", `--retention: "never" is not a length of time`},
		{"serve --hub orders:none", `--hub orders:none: `},
		{"serve --hub eh1:4 --hub EH1", `--hub EH1: there is a hub "eh1" already, from --hub eh1:4`},
		{"serve --log-level loud", `--log-level: "loud" is not`},
		{"serve --log-format xml", `--log-format: "xml" is neither`},
		{"send", "send: 0 arguments given; usage: evhub send HUB [BODY]"},
		{"send eh1 body more", "send: 3 arguments given"},
		{"send eh1 body --file x", "both BODY and --file"},
		{"send eh1 body --key k --partition 0", "both --key and --partition"},
		{"send eh1 body --partition=", "--partition is given with nothing in it"},
		{"send eh1 body --property novalue", `--property "novalue" is not name=value`},
		{"send eh1 body --connection-string Endpoint=x", "--connection-string: Endpoint is not sb://"},
		{"receive eh1 more", "receive: 2 arguments given; usage: evhub receive [HUB]"},
		{"receive eh1 --from yesterday", "--from yesterday: it must be earliest, latest"},
		{"receive eh1 --from latest", "--from latest skips all there is now"},
		{"receive eh1 --count -1", "--count -1 is negative"},
		{"token", "say what kind of token"},
		{"token sas --policy p", "--policy and --key go together"},
		{"token sas --ttl 1ms", "--ttl 1ms is less than a second"},
		{"token sas --ttl soon", `--ttl: "soon" is not a length of time, like "500ms", "90m" or "7d"`},
		{"token jwt --issuer localhost:8080", `--issuer: "localhost:8080" is not a URL like http://localhost:8080/issuer`},
		{"config", "say what to do"},
		{"health ftp://x", `"ftp://x" is not a URL`},
		{"version now", "version: 1 argument given"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			r := evhub(t, nil, "", strings.Fields(tt.args)...)
			r.fails(t, exitUsage, "evhub: "+tt.says)
			if r.out != "" {
				t.Errorf("standard output: %s", r.out)
			}
		})
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		out := evhub(t, nil, "", append(strings.Fields(c.CommandPath())[1:], "--help")...).ok(t)
		if !strings.Contains(out, c.UseLine()) {
			t.Errorf("the help of %q does not say how to use it: %s", c.CommandPath(), out)
		}
		if !c.HasSubCommands() && (c.Example == "" || !strings.Contains(out, c.Example)) {
			t.Errorf("the help of %q has no examples", c.CommandPath())
		}
		if c.Name() == execName && !strings.Contains(out, "(default a free port; with --fixed-ports localhost:5672)") {
			t.Errorf("the help of exec does not say where it listens: %s", out)
		}
		if short := evhub(t, nil, "", append([]string{"help"}, strings.Fields(c.CommandPath())[1:]...)...).ok(t); short != out {
			t.Errorf("help %s: %s", c.CommandPath(), short)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(new(app{getenv: env{}.get}).root())
}
