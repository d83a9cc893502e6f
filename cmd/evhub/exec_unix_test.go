//go:build unix

package main

import (
	"context"
	"strings"
	"testing"
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

func TestExecInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	out := &starts{then: interrupt}
	code := run(ctx, []string{"evhub", "exec", "--", "sh", "-c", `trap 'echo asked to go; exit 5' INT; echo up; while :; do sleep 0.05; done`}, strings.NewReader(""), out, out, env{}.get)
	if code != 5 || !strings.Contains(out.String(), "asked to go") {
		t.Errorf("code %d, output %q", code, out.String())
	}
}

// starts calls then at the first output.
type starts struct {
	safeBuffer
	then func()
}

func (s *starts) Write(p []byte) (int, error) {
	defer s.then()
	return s.safeBuffer.Write(p)
}

func TestExecErrors(t *testing.T) {
	t.Parallel()
	evhub(t, nil, "", "exec").fails(t, exitUsage, "say what to run", "evhub exec -- pytest -q")
	evhub(t, nil, "", "exec", "--", "no-such-program").fails(t, exitFailed, `no program "no-such-program"`, "by its path")
	evhub(t, nil, "", "exec", "--log-level", "loud", "--", "true").fails(t, exitUsage, "--log-level")
}
