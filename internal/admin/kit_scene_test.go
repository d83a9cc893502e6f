package admin

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestScenes plays the requests of each file in testdata, in a bubble, and compares the answers to the byte. A scene begins with a comment
// and has requests, each with headers and a body if it has such lines; below the dashes is the answer. "@sleep 10m" lets time pass.
func TestScenes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no scenes")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			must(t, err)
			var played string
			synctest.Test(t, func(t *testing.T) { played = play(t, string(text)) })
			if *update {
				must(t, os.WriteFile(file, []byte(played), 0o644))
			} else if played != string(text) {
				t.Errorf("the answers differ; with -update the file becomes:\n%s", difference(string(text), played))
			}
		})
	}
}

// play gives the scenes with the answers of a new admin.
func play(t *testing.T, scenes string) string {
	a, _ := newKit(t, Options{})
	var out []string
	for block := range strings.SplitSeq(strings.TrimRight(scenes, "\n"), "\n\n") {
		head, _, _ := strings.Cut(block, "\n----")
		played := head
		lines := strings.Split(head, "\n")
		for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
			lines = lines[1:]
		}
		switch {
		case len(lines) == 0:
		case strings.HasPrefix(lines[0], "@sleep "):
			d, err := time.ParseDuration(strings.TrimPrefix(lines[0], "@sleep "))
			must(t, err)
			time.Sleep(d)
			synctest.Wait()
		default:
			played += "\n----\n" + perform(a, lines)
		}
		out = append(out, played)
	}
	return strings.Join(out, "\n\n") + "\n"
}

var (
	header = regexp.MustCompile(`^[A-Z][A-Za-z-]+: `)
	secret = regexp.MustCompile(`SharedAccessKey=[A-Za-z0-9+/]{43}=;`)
)

func perform(a *Admin, lines []string) string {
	method, path, _ := strings.Cut(lines[0], " ")
	lines = lines[1:]
	headers := make(map[string]string)
	for len(lines) > 0 && header.MatchString(lines[0]) {
		name, value, _ := strings.Cut(lines[0], ": ")
		headers[name] = value
		lines = lines[1:]
	}
	r := request(method, path, strings.Join(lines, "\n"))
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if host := headers["Host"]; host != "" {
		r.Host = host
	}
	return secret.ReplaceAllString(shownAnswer(ask(a, onThisMachine, r)), "SharedAccessKey=KEY;")
}

func shownAnswer(w *httptest.ResponseRecorder) string {
	head := fmt.Sprint(w.Code, " ", w.Header().Get("Content-Type"))
	for _, name := range []string{"Location", "Allow", "Retry-After"} {
		if value := w.Header().Get(name); value != "" {
			head += ", " + name + ": " + value
		}
	}
	return strings.TrimRight(head+"\n"+w.Body.String(), "\n")
}

// difference shows the blocks that are not the same.
func difference(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n\n"), strings.Split(got, "\n\n")
	for i := range g {
		if i >= len(w) || strings.TrimSpace(w[i]) != strings.TrimSpace(g[i]) {
			b.WriteString(g[i] + "\n\n")
		}
	}
	return b.String()
}
