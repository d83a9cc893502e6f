//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// counts counts the SIGINTs that it gets, and when it is to go tells their number by the exit code 10 and more.
const counts = `n=0; trap 'n=$((n+1)); echo "INT $n"' INT; trap 'exit $((10+n))' TERM
	echo up; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); sleep 0.02; done`

// besides is an evhub exec that runs a program, in a session of its own: no terminal of who runs the tests is in it.
type besides struct {
	*exec.Cmd
	out *bufio.Scanner // what evhub and the program say
}

// executes starts cmd, which runs evhub exec, and reads from out what it says. It is killed if it takes too long.
func executes(t *testing.T, cmd *exec.Cmd, out io.Reader) *besides {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	t.Cleanup(func() { late.Stop() })
	return &besides{Cmd: cmd, out: bufio.NewScanner(out)}
}

// await reads until a line has text at its end. Before it a terminal has what was typed.
func (b *besides) await(t *testing.T, text string) {
	t.Helper()
	for b.out.Scan() {
		if strings.HasSuffix(strings.TrimSpace(b.out.Text()), text) {
			return
		}
	}
	t.Fatalf("it ended, and did not say %q", text)
}

// send signals to evhub alone.
func (b *besides) send(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := b.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ends wants evhub to end with code.
func (b *besides) ends(t *testing.T, code int) {
	t.Helper()
	for b.out.Scan() { // to its end, which comes with that of the program
	}
	b.Wait()
	if got := b.ProcessState.ExitCode(); got != code {
		t.Errorf("evhub exec ended with code %d (%s), want %d", got, b.ProcessState, code)
	}
}

// Signals are handled in the order of their numbers where they are pending together, by Go and by sh alike: a SIGINT that is passed on comes
// before a SIGTERM that was sent after it, and the program has counted it.
func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	const term, hup, interrupt = syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT
	for _, tt := range []struct {
		name  string
		first []syscall.Signal // each is awaited
		last  syscall.Signal
		code  int
	}{
		{name: "SIGTERM", last: term, code: 10},
		{name: "SIGHUP as SIGTERM", last: hup, code: 10},
		{name: "SIGINT", first: []syscall.Signal{interrupt}, last: term, code: 11},
		{name: "a second SIGINT", first: []syscall.Signal{interrupt, interrupt}, last: term, code: 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(programPath(t), "exec", "--", "sh", "-c", counts)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			b := executes(t, cmd, out)
			b.await(t, "up")
			for i, s := range tt.first {
				b.send(t, s)
				b.await(t, fmt.Sprintf("INT %d", i+1))
			}
			b.send(t, tt.last)
			b.ends(t, tt.code)
		})
	}
}

func TestExecStaysUnderNohup(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", `trap '' HUP; exec "$0" exec -- sh -c "$1"`, programPath(t), counts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b := executes(t, cmd, out)
	b.await(t, "up")
	b.send(t, syscall.SIGHUP)
	b.send(t, syscall.SIGINT)
	b.await(t, "INT 1") // SIGHUP came first, and did not end it
	b.send(t, syscall.SIGTERM)
	b.ends(t, 11)
}
