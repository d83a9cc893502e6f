package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// exitCode ends this process as the program ended. The program has said why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("the program ended with code %d", int(c)) }

// asked gives the signals of this process, which until stop end nothing but what reads them; and SIGTERM when ctx is done without a signal.
func asked(ctx context.Context) (asks <-chan os.Signal, stop func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	c := make(chan os.Signal, 8)
	signal.Notify(c, signals...)
	unhook := context.AfterFunc(ctx, func() {
		if _, ok := errors.AsType[caught](context.Cause(ctx)); ok {
			return // c has it
		}
		select {
		case c <- syscall.SIGTERM:
		default: // there are many already
		}
	})
	return c, func() { unhook(); signal.Stop(c) }
}

// program runs the program to its end, and has it asked to go as this process is.
func (e *executing) program(asks <-chan os.Signal, command, env []string) error {
	select {
	case s := <-asks: // nobody is there yet who could be told
		return signalled(s)
	default:
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, e.in, e.out, e.errw
	cmd.WaitDelay = e.leave
	if err := cmd.Start(); err != nil {
		return unstarted(cmd, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return outcome(command[0], e.attend(cmd.Process, asks, ended))
}

// attend passes on what p is asked for until it has ended.
//
// SIGINT that was typed has reached p already, and a second one would be taken for impatience: test runners then leave out their teardown. So
// at a terminal p is told nothing; nor is it killed, since it may be a shell or a debugger that goes on after Ctrl-C. Nobody tells us who sent
// a signal: a SIGINT sent at a terminal to this process alone looks as if it were typed, and has no effect. SIGTERM always has.
func (e *executing) attend(p *os.Process, asks <-chan os.Signal, ended <-chan error) error {
	var late <-chan time.Time // nil until p is to go
	for {
		select {
		case err := <-ended:
			return err
		case s := <-asks:
			if s == os.Interrupt {
				if !typedReaches(p.Pid) {
					p.Signal(s)
				}
				continue
			}
			p.Signal(syscall.SIGTERM) // what does not know signals, as Windows, is killed when it is late
			if late == nil {
				late = time.After(e.leave)
			}
		case <-late:
			e.note("the program was asked to go and has not for %s: killing it", e.leave)
			p.Kill()
		}
	}
}

// outcome is how a program ended that Wait gave err for.
func outcome(name string, err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return &failure{text: fmt.Sprintf("exec: %s: %v", name, err)}
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalled(status.Signal())
	}
	return exitCode(exit.ExitCode())
}

// signalled is what shells give for an end by a signal.
func signalled(s os.Signal) exitCode {
	number, _ := s.(syscall.Signal) // they all are
	return exitCode(exitSignalled + int(number))
}

// unstarted says why the program of cmd does not run.
func unstarted(cmd *exec.Cmd, err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err // the path is said anyway
	}
	f := &failure{text: fmt.Sprintf("exec: %q cannot be run: %v", cmd.Path, err), code: exitUnrunnable}
	switch _, absent := os.Stat(cmd.Path); {
	case errors.Is(err, exec.ErrNotFound):
		f.text, f.hint, f.code = fmt.Sprintf("exec: there is no program %q on the PATH", cmd.Path), "name it by its path", exitNotFound
	case errors.Is(err, fs.ErrNotExist) && absent != nil:
		f.text, f.code = fmt.Sprintf("exec: there is no program %q", cmd.Path), exitNotFound
	case errors.Is(err, fs.ErrNotExist):
		f.text = fmt.Sprintf("exec: %q cannot be run: there is no program such as its first line names", cmd.Path)
	case errors.Is(err, fs.ErrPermission):
		f.hint = "make it executable (chmod +x), or say what runs it: evhub exec -- sh " + cmd.Path
	case errors.Is(err, syscall.ENOEXEC):
		f.hint = "have its first line name what runs it, as #!/bin/sh does, or say it: evhub exec -- sh " + cmd.Path
	}
	return f
}
