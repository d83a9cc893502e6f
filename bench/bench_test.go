package main

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/bench/load"
	"github.com/evhub-dev/evhub/bench/proc"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want string // of the error; "" for none
	}{
		{"", ""},
		{"-quick", ""},
		{"-case presettled,idle -peers none -runs 1 -seconds 0.5", ""},
		{"-case nosuch", `no case "nosuch"`},
		{"-peers nosuch", `no peer "nosuch"`},
		{"-runs 0", "too little to measure"},
		{"-seconds 0.01", "too little to measure"},
		{"-memory 1", "too little to measure"},
	} {
		var text bytes.Buffer
		_, err := parse(strings.Fields(c.args), &text)
		if (err == nil) != (c.want == "") || !strings.Contains(text.String(), c.want) {
			t.Errorf("%q: %v, %q, want %q", c.args, err, &text, c.want)
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	from := moment{at: begin}
	to := moment{
		at:       begin.Add(2 * time.Second),
		progress: load.Progress{Completed: 1000, Delivered: 8000},
		server:   proc.Usage{CPU: 500 * time.Millisecond, RSSBytes: 77},
		client:   proc.Usage{CPU: time.Second},
		busy:     3 * time.Second,
	}
	want := sample{PerCoreSecond: 2000, PerSecond: 500, ServerCores: 0.25, ClientCores: 0.5, OtherCores: 0.75, RSSBytes: 77}
	if got, err := between(from, to, false); err != nil || *got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := between(from, to, true); err != nil || got.PerSecond != 4000 || got.PerCoreSecond != 16000 {
		t.Errorf("fan-out: %+v, %v", got, err)
	}
	to.progress = load.Progress{}
	if _, err := between(from, to, false); err == nil {
		t.Error("a run without events is no run")
	}
}

// Ratios are taken within a run, so a machine that gets slower from run to run does not change them.
func TestSummarize(t *testing.T) {
	t.Parallel()
	yardstick := []sample{{PerSecond: 100, PerCoreSecond: 10, P50: 2}, {PerSecond: 50, PerCoreSecond: 5, P50: 4}, {PerSecond: 10, PerCoreSecond: 1, P50: 20}}
	own := []sample{{PerSecond: 70, PerCoreSecond: 5, P50: 4}, {PerSecond: 35, PerCoreSecond: 2.5, P50: 8}, {PerSecond: 9, PerCoreSecond: 0.5, P50: 40}}
	row := summarize("x", own, yardstick, nil)
	for name, c := range map[string]struct{ got, want float64 }{
		"events/s": {row.PerSecond, 35}, "ratio": {row.RatioPerSecond, 0.7}, "per core": {row.RatioPerCore, 0.5}, "p50": {row.RatioP50, 2},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if empty := summarize("y", nil, yardstick, nil); empty.PerSecond != 0 || empty.RatioPerSecond != 0 {
		t.Errorf("of nothing: %+v", empty)
	}
}

func TestGatewayConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []gatewayConfig{
		{Broker: "127.0.0.1:5672", Issuer: "http://localhost:1/issuer"},
		{Address: "127.0.0.1:80", Broker: "127.0.0.1:5672", Issuer: "http://127.0.0.1:1", Rate: 500, DrainWait: 50 * time.Millisecond},
	} {
		text, err := c.file()
		if err != nil {
			t.Fatal(err)
		}
		got, err := gatewayfile.Parse("gateway.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		if got.Rules[0].Rate != float64(c.Rate) || got.Drain.Wait != c.DrainWait || c.Address != "" && got.Listeners.API.Address != c.Address {
			t.Errorf("%+v became %+v", c, got)
		}
	}
}

func TestForge(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	header, signature := encode([]byte(`{"alg":"ES256","kid":"1"}`)), encode(make([]byte, 64))
	list, err := forge(header + ".e30." + signature)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ownKey := 0
	for _, token := range list {
		parts := strings.Split(token, ".")
		if len(parts) != 3 || parts[1] != "e30" || parts[2] == signature || seen[token] {
			t.Errorf("forged: %s", token)
		}
		seen[token] = true
		if parts[0] == header {
			ownKey++
		}
	}
	if ownKey != len(list)/2 {
		t.Errorf("%d of %d with the key's own id", ownKey, len(list))
	}
	if _, err := forge("no token"); err == nil {
		t.Error("what is no token was forged")
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	if n := len(halfKB()); n < 490 || n > 530 {
		t.Errorf("half a KB has %d bytes", n)
	}
	if n, want := len(hundred(100)), len(`{"items":[]}`)+100*len(`{"body":},`)-1+100*100; n != want {
		t.Errorf("a batch has %d bytes, want %d", n, want)
	}
	if id := idOf([]byte(`{"hub":"bench","id":"0198","partition":"0"}`)); id != "0198" {
		t.Errorf("id %q", id)
	}
}
