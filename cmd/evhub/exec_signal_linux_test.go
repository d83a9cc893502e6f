package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a terminal: what people type and read, and what programs have.
func terminal(t *testing.T) (person, device *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	device, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	return person, device
}

// executesAt is executes at a terminal, with input in place of it unless that is nil.
func executesAt(t *testing.T, input *os.File, name string, args ...string) (person *os.File, b *besides) {
	t.Helper()
	person, device := terminal(t)
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = device, device, device
	if input != nil {
		cmd.Stdin = input
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	b = executes(t, cmd, person)
	device.Close() // so that the terminal's end comes with that of its programs
	return person, b
}

func enter(t *testing.T, person *os.File, keys string) {
	t.Helper()
	if _, err := person.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func TestExecAtTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	for _, tt := range []struct {
		name  string
		input *os.File
		typed int // times Ctrl-C, each awaited
		last  syscall.Signal
		code  int
	}{
		{name: "SIGTERM", last: syscall.SIGTERM, code: 10},
		{name: "SIGHUP", last: syscall.SIGHUP, code: 10},
		{name: "Ctrl-C", typed: 1, last: syscall.SIGTERM, code: 11},
		{name: "Ctrl-C with other input", input: null, typed: 1, last: syscall.SIGTERM, code: 11},
		{name: "Ctrl-C twice", typed: 2, last: syscall.SIGTERM, code: 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			person, b := executesAt(t, tt.input, programPath(t), "exec", "--", "sh", "-c", counts)
			b.await(t, "up")
			for i := range tt.typed {
				b.send(t, syscall.SIGSTOP) // what evhub passed on at once could not be told from what was typed
				enter(t, person, "\x03")
				b.await(t, fmt.Sprintf("INT %d", i+1))
				b.send(t, syscall.SIGCONT)
			}
			b.send(t, tt.last)
			b.ends(t, tt.code)
		})
	}
}

func TestExecOfWhatLeftTheTerminal(t *testing.T) {
	t.Parallel()
	person, b := executesAt(t, nil, programPath(t), "exec", "--", "setsid", "sh", "-c", counts)
	b.await(t, "up")
	enter(t, person, "\x03")
	b.await(t, "INT 1")
	b.send(t, syscall.SIGTERM)
	b.ends(t, 11)
}

func TestExecInBackgroundOfTerminal(t *testing.T) {
	t.Parallel()
	const script = `set -m; "$0" exec -- sh -c "$1" & read line; kill -INT $!; read line; kill -TERM $!; wait $!`
	person, b := executesAt(t, nil, "sh", "-c", script, programPath(t), counts)
	b.await(t, "up")
	enter(t, person, "\n")
	b.await(t, "INT 1")
	enter(t, person, "\n")
	b.ends(t, 11)
}
