package evhubtest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is a test that may fail without harm: it keeps what it was told.
type fake struct {
	testing.TB // nil: what is not below may not be called

	mu       sync.Mutex
	text     strings.Builder
	failed   bool
	skipped  bool
	cleanups []func()
}

// run runs a test to its end, with its cleanups, and gives what it said.
func run(f func(t *fake)) *fake {
	t := &fake{}
	t.do(func() { f(t) })
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		c := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		t.do(c)
	}
	return t
}

// do lets f end its goroutine, as Fatal does.
func (t *fake) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (t *fake) say(what string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.WriteString(what + ": " + strings.TrimSuffix(fmt.Sprintln(args...), "\n") + "\n")
}

func (t *fake) fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
}

func (t *fake) Helper()        {}
func (t *fake) Log(a ...any)   { t.say("log", a...) }
func (t *fake) Error(a ...any) { t.fail(); t.say("error", a...) }
func (t *fake) Fatal(a ...any) { t.fail(); t.say("fatal", a...); runtime.Goexit() }

func (t *fake) Fatalf(format string, a ...any) { t.Fatal(fmt.Sprintf(format, a...)) }
func (t *fake) Errorf(format string, a ...any) { t.Error(fmt.Sprintf(format, a...)) }

func (t *fake) Skipf(format string, a ...any) {
	t.skipped = true
	t.say("skip", fmt.Sprintf(format, a...))
	runtime.Goexit()
}

func (t *fake) Skipped() bool { return t.skipped }

func (t *fake) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *fake) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *fake) String() string { return t.text.String() }

// lines gives the lines that hold a part.
func (t *fake) lines(part string) []string {
	return slices.DeleteFunc(strings.Split(t.String(), "\n"), func(line string) bool { return !strings.Contains(line, part) })
}
