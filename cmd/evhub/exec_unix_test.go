//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExecSendsToItsBroker(t *testing.T) {
	t.Parallel()
	program := programPath(t)
	got := evhub(t, nil, "", "exec", "--hub", "orders:4", "--", program, "send", "orders", "hi").ok(t)
	if got != "" {
		t.Errorf("standard output: %q", got)
	}
}

func TestExecEnvironment(t *testing.T) {
	t.Parallel()
	got := evhub(t, nil, "", "exec", "--env", "MINE", "--", "sh", "-c", `echo "$MINE|$EVENTHUB_CONNECTION_STRING|$EVHUBTEST_URL"`).ok(t)
	parts := strings.Split(strings.TrimSpace(got), "|")
	if len(parts) != 3 || parts[0] != parts[1] || !strings.HasPrefix(parts[0], "Endpoint=sb://127.0.0.1:") || !strings.HasPrefix(parts[2], "http://127.0.0.1:") {
		t.Errorf("the program saw %q", got)
	}
}

func TestExecPassesOn(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, script, stdin string
		code                int
		out                 string
	}{
		{name: "the exit code", script: "exit 7", code: 7},
		{name: "a signal", script: "kill -TERM $$", code: 143},
		{name: "standard input and output", script: "cat", stdin: "through", out: "through"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := evhub(t, nil, row.stdin, "exec", "--", "sh", "-c", row.script)
			if got.code != row.code || got.out != row.out || got.err != "" {
				t.Errorf("%+v, want code %d, output %q and no word of ours", got, row.code, row.out)
			}
		})
	}
}

func TestExecFlagsOfTheProgram(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, args, out string
	}{
		{"behind two dashes", "exec -- echo -q --hub x -- y", "-q --hub x -- y\n"},
		{"behind its name", "exec echo -q --hub x -- y", "-q --hub x -- y\n"},
		{"behind the default hub in another form", "exec --hub eh1:2:cg1 -- echo -q", "-q\n"},
		{"behind flags of exec", "exec --hub orders:2 printf %s --help", "--help"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := evhub(t, nil, "", strings.Fields(tt.args)...).ok(t); got != tt.out {
				t.Errorf("the program printed %q, want %q", got, tt.out)
			}
		})
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	out := &starts{then: interrupt}
	code := run(ctx, []string{"evhub", "exec", "--", "sh", "-c", `trap 'echo asked to go; exit 5' TERM; echo up; while :; do sleep 0.05; done`}, strings.NewReader(""), out, out, env{}.get)
	if code != 5 || !strings.Contains(out.String(), "asked to go") {
		t.Errorf("code %d, output %q", code, out.String())
	}
}

func TestExecKillsWhatStays(t *testing.T) {
	t.Parallel()
	asks := make(chan os.Signal, 1)
	out := &starts{then: func() {
		select {
		case asks <- syscall.SIGTERM:
		default:
		}
	}}
	var errw safeBuffer
	e := &executing{app: &app{in: strings.NewReader(""), out: out, errw: &errw}, leave: 50 * time.Millisecond}
	err := e.program(asks, []string{"sh", "-c", `trap '' TERM; echo up; while :; do sleep 0.01; done`}, os.Environ())
	if err != exitCode(exitSignalled+int(syscall.SIGKILL)) || !strings.Contains(errw.String(), "asked to go and has not for 50ms") {
		t.Errorf("%v, said %q", err, errw.String())
	}
}

func TestExecInterruptedBeforeItsProgram(t *testing.T) {
	t.Parallel()
	asks := make(chan os.Signal, 1)
	asks <- os.Interrupt
	e := &executing{app: &app{}}
	if err := e.program(asks, []string{"no-such-program"}, nil); err != exitCode(130) {
		t.Errorf("%v, want code 130", err)
	}
}

// starts calls then at every output.
type starts struct {
	safeBuffer
	then func()
}

func (s *starts) Write(p []byte) (int, error) {
	defer s.then()
	return s.safeBuffer.Write(p)
}

func TestExecSaysThatTheBrokerFell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		program, want error
	}{
		{"beside a program that ends well", nil, errFell},
		{"beside a program that fails", exitCode(3), exitCode(3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			said := make(chan struct{})
			errw := &starts{then: func() { close(said) }}
			e := &executing{app: &app{errw: errw}}
			err := e.beside(func(context.Context) error { return errFell }, func() error {
				<-said // while the program runs
				return tt.program
			})
			if err != tt.want || !strings.Contains(errw.String(), "the broker fell, and the program goes on without it: no more sockets") {
				t.Errorf("%v, said %q; want %v", err, errw.String(), tt.want)
			}
		})
	}
}

var errFell = errors.New("no more sockets")

func TestExecErrors(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	address := busy.Addr().String()
	script := func(mode os.FileMode, text string) string {
		path := writeFile(t, "program", text)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	listeners := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns1", "Entities": [{"Name": "eh1", "PartitionCount": 1}]}]},
		"Evhub": {"Listeners": {"AMQP": ["`+address+`"]}}}`)
	for _, tt := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"nothing to run", nil, exitExec, []string{"say what to run", "evhub exec -- pytest -q"}},
		{"an empty name", []string{"--", ""}, exitExec, []string{"say what to run"}},
		{"unknown flag", []string{"--fixed", "true"}, exitExec, []string{"unknown flag: --fixed", "evhub exec --help"}},
		{"log level", []string{"--log-level", "loud", "true"}, exitExec, []string{"--log-level"}},
		{"configuration", []string{"--config", "/no/such.json", "true"}, exitExec, []string{"/no/such.json: there is no such file"}},
		{"variable without a name", []string{"--env", "", "true"}, exitExec, []string{"--env is given with nothing in it"}},
		{"variable with a value", []string{"--env", "A=B", "true"}, exitExec, []string{`--env "A=B": it takes a name alone`, "set A to B there"}},
		{"variable with a space", []string{"--env", "A B", "true"}, exitExec, []string{`--env "A B": the name of a variable has no spaces`}},
		{"busy port by flag", []string{"--listen-amqp", address, "true"}, exitExec,
			[]string{"AMQP cannot listen on " + address + ": the port is taken", "leave out --listen-amqp: exec then takes free ports"}},
		{"busy port with fixed ports", []string{"--fixed-ports", "--listen-amqp", "127.0.0.1:0", "--listen-admin", address, "true"}, exitExec,
			[]string{"ADMIN cannot listen on " + address, "leave out --fixed-ports and --listen-amqp and --listen-admin: "}},
		{"busy port by file", []string{"--config", listeners, "true"}, exitExec, []string{"leave out Evhub.Listeners of the configuration: "}},
		{"not on the PATH", []string{"no-such-program"}, exitNotFound, []string{`no program "no-such-program" on the PATH`, "by its path"}},
		{"no such path", []string{"./no-such-program"}, exitNotFound, []string{`there is no program "./no-such-program"`}},
		{"not executable", []string{script(0o600, "#!/bin/sh\n")}, exitUnrunnable, []string{"permission denied", "chmod +x", "evhub exec -- sh /"}},
		{"no word of what runs it", []string{script(0o700, "true\n")}, exitUnrunnable, []string{"exec format error", "#!/bin/sh"}},
		{"run by what is not there", []string{script(0o700, "#!/no/such/shell\n")}, exitUnrunnable, []string{"no program such as its first line names"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := evhub(t, nil, "", append([]string{"exec"}, tt.args...)...)
			r.fails(t, tt.code, tt.says...)
			if strings.Contains(r.err, "evhub serve") {
				t.Errorf("exec speaks of serve: %s", r.err)
			}
		})
	}
}
