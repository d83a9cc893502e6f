package obs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for _, c := range []struct {
		level  slog.Level
		colour bool
		msg    string
		attrs  []any
		want   string
	}{
		{0, false, "ready", []any{KeyHub, "orders", KeyPart, 3, "wait", time.Second}, "INFO  ready hub=orders part=3 wait=1s"},
		{4, false, "two words", []any{"a", "", "b", "x y", "c", "k=v", "d", `"`}, `WARN  two words a="" b="x y" c="k=v" d="\""`},
		{8, false, "a\nb", []any{"l\n", "\x1b[2J", "err", errors.New("x\ny")}, `ERROR "a\nb" "l\n"="\x1b[2J" err="x\ny"`},
		{1, false, "m", []any{slog.Group("h", "c", true), slog.Group("", "d", 2), slog.Attr{}, slog.Group("e")}, "INFO+1 m h.c=true d=2"},
		{8, true, "m", []any{"a", 1}, "\x1b[31mERROR\x1b[0m m \x1b[2ma=\x1b[0m1"},
		{-4, true, "m", nil, "\x1b[2mDEBUG\x1b[0m m"},
	} {
		var out bytes.Buffer
		l := NewLogger(&out, slog.LevelDebug, false, c.colour)
		r := slog.NewRecord(at, c.level, c.msg, 0)
		r.Add(c.attrs...)
		if err := l.Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		clock := map[bool]string{false: "03:04:05.678 ", true: "\x1b[2m03:04:05.678\x1b[0m "}[c.colour]
		if got, want := out.String(), clock+c.want+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTeeKeepsLevelsApart(t *testing.T) {
	t.Parallel()
	var terminal, file bytes.Buffer
	l := Tee(NewLogger(&terminal, slog.LevelWarn, false, false), NewLogger(&file, slog.LevelInfo, true, false))
	l = l.With(KeyNS, "n").WithGroup("g").With("a", 1)
	l.Debug("one")
	l.Info("two")
	l.Warn("three", "b", 2)
	if got := terminal.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, " WARN  three ns=n g.a=1 g.b=2\n") {
		t.Errorf("terminal: %q", got)
	}
	if got := file.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"msg":"two","ns":"n","g":{"a":1}}`) {
		t.Errorf("file: %q", got)
	}
}

func TestJSONDurations(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	NewLogger(&out, slog.LevelInfo, true, false).Info("ready", "took", 1500*time.Millisecond, slog.Group("drain", "for", 25*time.Second), "n", 3)
	if got, want := out.String(), `"took":"1.5s","drain":{"for":"25s"},"n":3}`; !strings.HasSuffix(got, want+"\n") {
		t.Errorf("got %s, want %s at the end", got, want)
	}
}
