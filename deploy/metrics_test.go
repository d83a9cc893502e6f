package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/evhub-dev/evhub/evhubtest"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/service"
)

// TestObservation holds alerts, dashboard and documentation against what the service really says of itself.
func TestObservation(t *testing.T) {
	t.Parallel()
	said, audit := observe(t)
	t.Run("alerts", func(t *testing.T) { t.Parallel(); checkAlerts(t, said) })
	t.Run("dashboard", func(t *testing.T) { t.Parallel(); checkDashboard(t, said) })
	t.Run("metrics", func(t *testing.T) { t.Parallel(); checkMetrics(t, said) })
	t.Run("audit", func(t *testing.T) { t.Parallel(); checkAudit(t, audit) })
}

// observe gives the metrics and the audit log of a service that has stored, failed and refused, so that nothing is left out.
func observe(t *testing.T) (exposition, []byte) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	var audit bytes.Buffer // its own until the service is down
	s := startService(t, key, slog.New(slog.NewJSONHandler(&audit, nil)).With("log", "audit"))
	token := sign(t, key, map[string]any{"alg": "EdDSA", "kid": "1", "typ": "at+jwt"}, map[string]any{
		"iss": "https://login.example", "aud": "api://notifications", "sub": "shop", "client_id": "shop", "scope": "send",
	})
	for _, row := range []struct {
		hub, token string
		status     int
	}{
		{"orders", token, http.StatusCreated},
		{"gone", token, http.StatusNotFound},
		{"orders", token[:len(token)-4] + "AAAA", http.StatusUnauthorized},
	} {
		url := "http://" + s.APIAddress() + "/v1/hubs/" + row.hub + "/messages"
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+row.token)
		request.Header.Set("Content-Type", "application/json")
		if status, body := do(t, request); status != row.status {
			t.Fatalf("%s: %d and not %d: %s", row.hub, status, row.status, body)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.ProbesAddress()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, body := do(t, request)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return readExposition(t, body), audit.Bytes()
}

// startService runs the service before a broker that has the hub orders, and has none that is called gone.
func startService(t *testing.T, key ed25519.PrivateKey, audit *slog.Logger) *service.Service {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broker := evhubtest.Start(t, evhubtest.Hub("orders", 2))
	write("connection", []byte(broker.ConnectionString("")))
	write("keys.json", keySet(t, key.Public(), "1"))
	write("gateway.yaml", []byte(`
listeners: {api: {address: "127.0.0.1:0"}, probes: {address: "127.0.0.1:0"}}
targets: {hubs: {broker: {connectionString: "${file:connection}"}}}
routes: {orders: {target: hubs}, gone: {target: hubs}}
issuers: [{url: "https://login.example", keysFile: keys.json, audiences: ["api://notifications"]}]
rules: [{issuer: "https://login.example", kind: app, claim: scope, value: send, hubs: ["*"]}]
drain: {wait: 0s, total: 10s}
`))
	c, err := gatewayfile.Load(filepath.Join(dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := service.Start(t.Context(), service.Options{Config: c, Audit: audit})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func do(t *testing.T, request *http.Request) (status int, body []byte) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// exposition is what /metrics said: for each name of a series the values that each of its labels had.
type exposition map[string]map[string][]string

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

func readExposition(t *testing.T, text []byte) exposition {
	t.Helper()
	said := exposition{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		m := seriesLine.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("/metrics: %q", lines.Text())
		}
		if said[m[1]] == nil {
			said[m[1]] = map[string][]string{}
		}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			said[m[1]][pair[1]] = append(said[m[1]][pair[1]], pair[2])
		}
	}
	return said
}

// ours are the names that this program gives, without the parts of histograms.
func (e exposition) ours() []string {
	var names []string
	for name := range e {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, part)
		}
		if strings.HasPrefix(name, "evhub_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// scraperLabels are those that Prometheus adds.
var scraperLabels = []string{"job", "instance"}

// check holds a query against what there is.
func (e exposition) check(t *testing.T, where, query string) {
	t.Helper()
	found, grouped, err := readQuery(query)
	if err != nil || len(found) == 0 {
		t.Errorf("%s: %v, %d series in %s", where, err, len(found), query)
		return
	}
	known := slices.Clone(scraperLabels)
	for _, s := range found {
		labels, ok := e[s.name]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, s.name)
			continue
		}
		known = slices.AppendSeq(known, maps.Keys(labels))
		if !slices.ContainsFunc(s.matchers, func(m matcher) bool { return m.label == "job" }) {
			t.Errorf("%s: %s is asked of all jobs, and a broker has some of the same names", where, s.name)
		}
		for _, m := range s.matchers {
			e.checkMatcher(t, where, s.name, m)
		}
	}
	for _, label := range grouped {
		if !slices.Contains(known, label) {
			t.Errorf("%s: no series of the query has a label %s", where, label)
		}
	}
}

func (e exposition) checkMatcher(t *testing.T, where, name string, m matcher) {
	t.Helper()
	values, ok := e[name][m.label]
	if !ok && !slices.Contains(scraperLabels, m.label) {
		t.Errorf("%s: %s has no label %s", where, name, m.label)
		return
	}
	if slices.Contains(scraperLabels, m.label) {
		return
	}
	for _, value := range strings.Split(m.value, "|") {
		if !slices.Contains(values, value) && value != "" {
			t.Errorf("%s: %s never has %s=%q", where, name, m.label, value)
		}
	}
}

func checkAlerts(t *testing.T, said exposition) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	data := read(t, "alerts.yaml")
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	page, seen := string(read(t, operations)), map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			said.check(t, rule.Alert, rule.Expr)
			if seen[rule.Alert] || rule.Alert == "" {
				t.Errorf("two alerts are called %q", rule.Alert)
			}
			seen[rule.Alert] = true
			if _, err := time.ParseDuration(rule.For); err != nil && rule.For != "" {
				t.Errorf("%s: for: %v", rule.Alert, err)
			}
			if s := rule.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q is neither page nor ticket", rule.Alert, s)
			}
			if want := "docs/OPERATIONS.md#" + strings.ToLower(rule.Alert); rule.Annotations["summary"] == "" || rule.Annotations["runbook_url"] != want {
				t.Errorf("%s: annotations %v, want a summary and %s", rule.Alert, rule.Annotations, want)
			}
			if !strings.Contains(page, "\n#### "+rule.Alert+"\n") {
				t.Errorf("%s: docs/OPERATIONS.md does not say what to do", rule.Alert)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

func checkDashboard(t *testing.T, said exposition) {
	var board struct {
		Title, UID string
		Panels     []struct {
			Title   string
			ID      int
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ RefID, Expr string }
		}
		Templating struct {
			List []struct{ Name string }
		}
	}
	if err := json.Unmarshal(read(t, "dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	ids, places := map[int]bool{}, map[string]bool{}
	for _, p := range board.Panels {
		place := fmt.Sprint(p.GridPos)
		if ids[p.ID] || places[place] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: twice the same id or place, or no title or query", p.ID, p.Title)
		}
		ids[p.ID], places[place] = true, true
		for _, target := range p.Targets {
			said.check(t, p.Title+" "+target.RefID, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	if len(board.Panels) == 0 || board.Title == "" || board.UID == "" {
		t.Error("there is no dashboard")
	}
}

const operations = "../docs/OPERATIONS.md"

var named = regexp.MustCompile("`(evhub_[a-z_]+)[`{]")

// checkMetrics: the page lists every metric, and no other.
func checkMetrics(t *testing.T, said exposition) {
	var listed []string
	for _, m := range named.FindAllSubmatch(read(t, operations), -1) {
		listed = append(listed, string(m[1]))
	}
	slices.Sort(listed)
	listed = slices.Compact(listed)
	for _, name := range said.ours() {
		if !slices.Contains(listed, name) {
			t.Errorf("%s is not listed", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(said.ours(), name) {
			t.Errorf("%s is listed, and there is none", name)
		}
	}
}

var auditBlock = regexp.MustCompile("(?s)<!-- audit -->\n```json\n(.*?)```")

// checkAudit: the page's line has the keys of a real one, which is the first of the log.
func checkAudit(t *testing.T, log []byte) {
	block := auditBlock.FindSubmatch(read(t, operations))
	if block == nil {
		t.Fatal("the page has no line of the audit log")
	}
	var shown, real map[string]any
	line, _, _ := bytes.Cut(log, []byte("\n"))
	if err := errors.Join(json.Unmarshal(block[1], &shown), json.Unmarshal(line, &real)); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if got, want := slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(real)); !slices.Equal(got, want) {
		t.Errorf("the page shows the keys %v, the log has %v", got, want)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
