package proc_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/bench/proc"
)

func TestTree(t *testing.T) {
	t.Parallel()
	before, err := proc.Tree(os.Getpid())
	if errors.Is(err, proc.ErrUnsupported) {
		return // nothing is claimed for other systems
	}
	if err != nil {
		t.Fatal(err)
	}
	if before.RSSBytes < 1<<20 {
		t.Errorf("resident %d bytes, want at least a MiB", before.RSSBytes)
	}
	busyBefore, err := proc.Busy()
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 10*time.Second; { // until the kernel has counted five ticks
		now, err := proc.Tree(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		busy, err := proc.Busy()
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU-before.CPU >= 50*time.Millisecond && busy-busyBefore >= 50*time.Millisecond {
			return
		}
	}
	t.Error("ten seconds of work were not counted")
}

func TestKillTakesDescendants(t *testing.T) {
	t.Parallel()
	if _, err := proc.Busy(); err != nil {
		return // as above
	}
	cmd := exec.Command("sh", "-c", "sleep 600 & sleep 600 & echo started; wait")
	out, err := cmd.StdoutPipe() // held open by all three
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("started\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}
	proc.Kill(cmd.Process.Pid)
	if n, err := out.Read(line); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	cmd.Wait()
}

func TestNoSuchProcess(t *testing.T) {
	t.Parallel()
	if _, err := proc.Tree(1 << 30); err == nil {
		t.Error("no error")
	}
}
