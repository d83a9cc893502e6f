//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// programDir is where program puts what it builds; TestMain's.
var programDir string

// program builds evhub once, and gives its path.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "evhub")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "evhub-test-")
	if err != nil {
		panic(err)
	}
	programDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func programPath(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a started serve.
type process struct {
	*exec.Cmd
	stdin  io.Closer
	banner []string // its lines
	errw   safeBuffer
}

// launch starts serve by a shell command line that begins so, in dir, and waits for its banner. The process ends with the test.
func launch(t *testing.T, dir, begin string, args ...string) *process {
	t.Helper()
	p := &process{}
	line := "exec " + begin + " serve --listen-amqp 127.0.0.1:0 --listen-api 127.0.0.1:0 --listen-admin 127.0.0.1:0 --die-with-stdin " + strings.Join(args, " ")
	p.Cmd = exec.Command("sh", "-c", line)
	p.Dir = dir
	p.Stderr = &p.errw
	stdin, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	t.Cleanup(func() { stdin.Close(); p.Wait() })
	for out := bufio.NewScanner(stdout); out.Scan(); {
		p.banner = append(p.banner, out.Text())
		if out.Text() == readinessLine {
			return p
		}
	}
	t.Fatalf("serve ended: %q, %s", p.banner, p.errw.String())
	return nil
}

// tries gives the command lines that the banner tells people to try.
func (p *process) tries(t *testing.T) []string {
	t.Helper()
	for i, line := range p.banner {
		if first, ok := strings.CutPrefix(line, "  try     "); ok {
			return []string{first, strings.TrimPrefix(p.banner[i+1], "          "), strings.TrimPrefix(p.banner[i+2], "          ")}
		}
	}
	t.Fatalf("nothing to try in %q", p.banner)
	return nil
}

func TestPrintedLinesRun(t *testing.T) {
	t.Parallel()
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	for name, link := range map[string]string{"evhub": own, "it's a \"hub\"": own} {
		if err := os.Symlink(programPath(t), filepath.Join(link, name)); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + own + string(filepath.ListSeparator) + os.Getenv("PATH")
	for _, tt := range []struct{ name, dir, begin, prints string }{
		{"path", own, "./evhub", "./evhub "},
		{"absolute path", "/", filepath.Join(own, "evhub"), filepath.Join(own, "evhub") + " "},
		{"name", "/", path + " evhub", "evhub "},
		{"name to be quoted", own, `"./it's a \"hub\""`, `'./it'\''s a "hub"' `},
		{"go run", source, "go run ./cmd/evhub", "go run ./cmd/evhub "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "name" {
				tt.begin = "env " + tt.begin
			}
			p := launch(t, tt.dir, tt.begin)
			prints := []string{
				`^$`,
				`^{"hub":"eh1","id":"[^"]+","partition":"1","sequence":0}$`,
				`^(0/0  {"Hello":"World!"}\n|1/0  {"Hello":"World!"}\n){2}$`,
			}
			for i := range prints {
				line := p.tries(t)[i]
				if !strings.HasPrefix(line, tt.prints) && !strings.Contains(line, "$("+tt.prints+"token jwt ") {
					t.Errorf("%s: want %s...", line, tt.prints)
				}
				if _, err := exec.LookPath("curl"); err != nil && strings.HasPrefix(line, "curl ") {
					t.Logf("there is no curl on this machine, so this was not run: %s", line)
					prints[2] = `^0/0  {"Hello":"World!"}\n$`
					continue
				}
				sh := exec.Command("sh", "-c", line)
				sh.Dir, sh.Env = tt.dir, append(os.Environ(), path)
				var errw bytes.Buffer
				sh.Stderr = &errw
				if out, err := sh.Output(); err != nil || !regexp.MustCompile(prints[i]).Match(out) {
					t.Errorf("%s: %q, %v, %s", line, out, err, errw.String())
				}
			}
		})
	}
}

func TestSignalDrains(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := launch(t, t.TempDir(), programPath(t))
		line := p.tries(t)[2] + " --follow"
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		reader := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
		said, err := reader.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(said).ReadString('\n'); err != nil { // it is connected
			t.Fatal(err)
		}
		begun := time.Now()
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("%s: %v, %s", sig, err, p.errw.String())
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: it took %s", sig, took)
		}
		if log := p.errw.String(); !strings.Contains(log, "draining") {
			t.Errorf("%s: log %s", sig, log)
		}
		if err := reader.Wait(); err == nil { // a client that follows fails when its broker goes
			t.Errorf("%s: the reader ended well", sig)
		}
	}
}

func TestSecondSignalCuts(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), programPath(t))
	// A client that never answers holds the broker for as long as it drains.
	holder := holdOpen(t, p)
	defer holder.Close()
	begun := time.Now()
	for range 2 {
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.errw.waitFor(t, "draining")
	}
	p.Wait()
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %s after %s", p.ProcessState, time.Since(begun))
	}
}

func TestLogFileOfLoggingConfig(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns1", "Entities": [{"Name": "eh1", "PartitionCount": 1}]}],
		"LoggingConfig": {"Type": "File"}}}`)
	dir := t.TempDir()
	p := launch(t, dir, programPath(t), "--config", path)
	p.stdin.Close()
	p.Wait()
	log, err := os.ReadFile(filepath.Join(dir, logFileDefault))
	if err != nil || !strings.Contains(string(log), "draining") {
		t.Errorf("log %q, %v", log, err)
	}

	if err := os.Remove(filepath.Join(dir, logFileDefault)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, logFileDefault), 0o700); err != nil { // so that it cannot be opened
		t.Fatal(err)
	}
	p = launch(t, dir, programPath(t), "--config", path)
	p.stdin.Close()
	p.Wait() // until all of standard error is there
	if said := p.errw.String(); !strings.Contains(said, "going on without the log file") || !strings.Contains(said, "--log-file") {
		t.Errorf("standard error: %s", said)
	}
}

// holdOpen connects to the broker and says as much as it takes to be asked to leave.
func holdOpen(t *testing.T, p *process) net.Conn {
	t.Helper()
	for _, line := range p.banner {
		_, rest, ok := strings.Cut(line, "amqp://")
		if !ok {
			continue
		}
		nc, err := net.Dial("tcp", strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		b := amqp.AppendProtocolHeader(nil, amqp.ProtocolAMQP)
		b, mark := amqp.BeginFrame(b, amqp.FrameAMQP, 0)
		b = amqp.EndFrame((&amqp.Open{ContainerID: "holder"}).Append(b), mark)
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 16)); err != nil { // its header, and the beginning of its open
			t.Fatal(err)
		}
		return nc
	}
	t.Fatalf("no address in %q", p.banner)
	return nil
}
