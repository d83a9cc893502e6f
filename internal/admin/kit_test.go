package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
)

// TestWake: a request that waits is answered by what it waits for, at once.
func TestWake(t *testing.T) {
	t.Parallel()
	const space = "/admin/v1/spaces/default"
	for _, tt := range []struct {
		name, method, path, body string
		then                     func(t *testing.T, a *Admin) // after ten seconds of waiting
		status                   int
		has                      string
	}{
		{"events", "GET", space + "/hubs/eh1/events?count=2&path.State=paid&timeout=60s", "", func(t *testing.T, a *Admin) {
			tell(t, a, 201, "POST", space+"/hubs/eh1/events", `[{"body":{"State":"paid"}},{"body":{"State":"open"}}]`)
			synctest.Wait() // one is not enough
			tell(t, a, 201, "POST", space+"/hubs/eh1/events", `{"body":{"State":"paid"}}`)
		}, 200, `"waitedMs":10000,"seen":3,"mark":"m1"`},
		{"expectation", "POST", space + "/hubs/eh1/expect", `{"expect":[{"where":{"text":"x"}}],"timeout":"60s"}`, func(t *testing.T, a *Admin) {
			tell(t, a, 201, "POST", space+"/hubs/eh1/events", `{"text":"x"}`)
		}, 200, `"text":"x"`},
		{"expectation that cannot hold any more", "POST", space + "/hubs/eh1/expect", `{"expect":[{"count":{"max":0}}],"settle":"30s","timeout":"60s"}`,
			func(t *testing.T, a *Admin) { tell(t, a, 201, "POST", space+"/hubs/eh1/events", `{"text":"x"}`) }, 417, `"reason":"too-many"`},
		{"readers", "GET", space + "/hubs/eh1/readers?count=1&group=cg1&timeout=60s", "", func(t *testing.T, a *Admin) {
			openReader(t, a).SetCredit(1)
		}, 200, `{"ok":true,"readers":1,"waitedMs":10000}`},
		{"removed fault", "GET", space + "/faults/f1?hits=1&timeout=60s", "", func(t *testing.T, a *Admin) {
			tell(t, a, 200, "DELETE", space+"/faults/f1", "")
		}, 417, "is over after 0 hits"},
		{"deleted hub", "GET", space + "/hubs/eh1/events?timeout=60s", "", func(t *testing.T, a *Admin) {
			tell(t, a, 200, "DELETE", space+"/hubs/eh1", "")
		}, 410, "was deleted"},
		{"readers of a deleted hub", "GET", space + "/hubs/eh1/readers?timeout=60s", "", func(t *testing.T, a *Admin) {
			tell(t, a, 200, "DELETE", space+"/hubs/eh1", "")
		}, 410, "was deleted"},
		{"shutdown", "GET", space + "/hubs/eh1/events?timeout=60s", "", func(_ *testing.T, a *Admin) { a.drain() }, 503, "shutting down"},
		{"shutdown, readers", "GET", space + "/hubs/eh1/readers?timeout=60s", "", func(_ *testing.T, a *Admin) { a.drain() }, 503, "shutting down"},
		{"shutdown, fault", "GET", space + "/faults/f1?hits=1&timeout=60s", "", func(_ *testing.T, a *Admin) { a.drain() }, 503, "shutting down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, _ := newKit(t, Options{})
				tell(t, a, 201, "POST", space+"/faults", `{"on":{"op":"send","client":"nobody"},"do":{"type":"drop"}}`)
				start, got := time.Now(), make(chan *httptest.ResponseRecorder, 1)
				go func() { got <- ask(a, onThisMachine, request(tt.method, tt.path, tt.body)) }()
				time.Sleep(10 * time.Second)
				tt.then(t, a)
				w := <-got
				if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.has) {
					t.Errorf("%d %s, want %d with %s", w.Code, w.Body, tt.status, tt.has)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("it was answered after %v, want 10s", took)
				}
				if n := len(a.waiters); n != 0 {
					t.Errorf("%d still wait", n)
				}
			})
		})
	}
}

func openReader(t *testing.T, a *Admin) *hub.Link {
	t.Helper()
	h, err := a.o.Hall.Namespace(ownNamespace).Hub("eh1")
	must(t, err)
	l, err := h.OpenLink(hub.LinkInfo{Kind: hub.Reader, Group: "cg1", Client: "c1"}, nil)
	must(t, err)
	return l
}

// TestDeadlines: the server's time-outs do not end a wait of a minute, and still end a body that does not come.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleServer(t)
		for _, path := range []string{"/hubs/eh1/events?timeout=60s", "/hubs/eh1/readers?timeout=60s"} {
			got := b.do(t.Context(), "GET", "/admin/v1/spaces/default"+path, nil)
			if got.err != nil || got.status != 417 || got.took != time.Minute {
				t.Errorf("%s: %d %s after %v, %v; want 417 after a minute", path, got.status, got.body, got.took, got.err)
			}
		}
		got := b.do(t.Context(), "POST", "/admin/v1/spaces/default/hubs/eh1/expect", strings.NewReader(`{"expect":[{}],"timeout":"60s"}`))
		if got.status != 417 || got.took != time.Minute {
			t.Errorf("expect: %d %s after %v, want 417 after a minute", got.status, got.body, got.took)
		}
		body, feed := io.Pipe()
		go feed.Write([]byte(`{"text":`))
		got = b.do(t.Context(), "POST", "/admin/v1/spaces/default/hubs/eh1/events", body)
		feed.Close()
		if got.status != http.StatusRequestTimeout || got.took > 11*time.Second {
			t.Errorf("slow body: %d %s after %v, %v; want 408 after 10s", got.status, got.body, got.took, got.err)
		}
		if got := b.do(t.Context(), "GET", "/health", nil); got.status != 200 {
			t.Errorf("health: %+v", got)
		}
	})
}

// TestClientLeaves: nothing waits for a client that has left.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleServer(t)
		ctx, leave := context.WithCancel(t.Context())
		got := []<-chan answered{
			b.begin(ctx, "GET", "/admin/v1/spaces/default/hubs/eh1/events?timeout=60s", ""),
			b.begin(ctx, "POST", "/admin/v1/spaces/default/hubs/eh1/expect", `{"expect":[{}],"timeout":"60s"}`),
			b.begin(ctx, "GET", "/admin/v1/spaces/default/hubs/eh1/readers?timeout=60s", ""),
		}
		time.Sleep(time.Second)
		if n := len(b.admin.waiters); n != len(got) {
			t.Fatalf("%d wait, want %d", n, len(got))
		}
		leave()
		synctest.Wait()
		if n := len(b.admin.waiters); n != 0 {
			t.Errorf("%d still wait", n)
		}
		for _, answer := range got {
			<-answer
		}
	})
}

// TestShutdown: requests that wait are answered when the server begins to shut down, so that it need not wait for them.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleServer(t)
		waiting := b.begin(t.Context(), "GET", "/admin/v1/spaces/default/hubs/eh1/events?timeout=60s", "")
		time.Sleep(time.Second)
		must(t, b.server.Shutdown(t.Context()))
		got := <-waiting
		if got.status != 503 || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, "/problems/draining") {
			t.Errorf("%d %v %s, want 503", got.status, got.header, got.body)
		}
		if got.took > 2*time.Second {
			t.Errorf("it took %v", got.took)
		}
	})
}

func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := newKit(t, Options{})
		const path = "/admin/v1/spaces/default/hubs/eh1/events?timeout=60s"
		var waiting sync.WaitGroup
		for range waitersMax {
			waiting.Go(func() { ask(a, onThisMachine, request("GET", path, "")) })
		}
		synctest.Wait()
		w := ask(a, onThisMachine, request("GET", path, ""))
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "1024 requests are waiting") {
			t.Errorf("%d %s, want 503", w.Code, w.Body)
		}
		for _, path := range []string{"/health", "/admin/v1/spaces", "/admin/v1/spaces/default/hubs/eh1/events?count=0"} {
			if w := ask(a, onThisMachine, request("GET", path, "")); w.Code != 200 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		tell(t, a, 201, "POST", "/admin/v1/spaces/default/hubs/eh1/events", `{"text":"x"}`)
		waiting.Wait()
	})
}

// TestVerifyWaitsForClients: a client that has just been closed is not taken for one that was forgotten.
func TestVerifyWaitsForClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := newKit(t, Options{})
		l := openReader(t, a)
		start := time.Now()
		got := tell(t, a, 417, "DELETE", "/admin/v1/spaces/default?verify=1", "")
		if took := time.Since(start); took != time.Second || !strings.Contains(got, `"problems":["reader c1 of eh1/0 in group cg1 is still open"]`) {
			t.Errorf("after %v: %s", took, got)
		}
		time.AfterFunc(3*time.Second, l.Close)
		tell(t, a, 200, "DELETE", "/admin/v1/spaces/default?verify=1&timeout=5s", "")
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("the second look took until %v", took)
		}
	})
}

func TestLinksAndTimeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := newKit(t, Options{})
		l := openReader(t, a)
		l.SetCredit(7)
		const want = `{"links":[{"id":1,"kind":"reader","hub":"eh1","partition":0,"group":"cg1","client":"c1","credit":7,"unsettled":0,` +
			`"events":0,"bytes":0,"since":"2000-01-01T00:00:00Z"}]}` + "\n"
		if got := tell(t, a, 200, "GET", "/admin/v1/spaces/default/links", ""); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		// The default space is traced since a test has asked for its links, and not before.
		asked := func() {
			a.o.Hall.Rules().Ask(&hub.Subject{Op: hub.Attach, Namespace: ownNamespace, Hub: "eh1", Partition: 1, Client: "c1"})
		}
		asked()
		time.Sleep(time.Second)
		tell(t, a, 201, "POST", "/admin/v1/spaces/default/marks", "")
		asked()
		const entry = `{"timeline":[{"order":2,"at":"2000-01-01T00:00:01Z","op":"attach","hub":"eh1","partition":"1","client":"c1"}]}` + "\n"
		if got := tell(t, a, 200, "GET", "/admin/v1/spaces/default/timeline?since=m1", ""); got != entry {
			t.Errorf("%s, want %s", got, entry)
		}
		tell(t, a, 200, "DELETE", "/admin/v1/spaces/default", "")
		if a.o.Hall.Rules() != nil {
			t.Error("a space that was cleared is still traced")
		}
		l.Close()
	})
}

func TestHubsDoNotTrace(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	tell(t, a, 201, "PUT", "/admin/v1/spaces/default/hubs/orders", "")
	tell(t, a, 200, "GET", "/admin/v1/spaces/default", "")
	tell(t, a, 200, "DELETE", "/admin/v1/spaces/default/hubs/orders", "")
	if a.o.Hall.Rules() != nil {
		t.Error("to manage hubs is not to test")
	}
}

func TestStaleMark(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	h, err := a.o.Hall.Namespace(ownNamespace).Hub("eh1")
	must(t, err)
	tell(t, a, 201, "POST", "/admin/v1/spaces/default/hubs/eh1/events", `[{"body":1,"partition":0},{"body":2,"partition":0}]`)
	h.PartitionAt(0).Log().Trim(1)
	got := tell(t, a, 410, "GET", "/admin/v1/spaces/default/hubs/eh1/events?since=m0", "")
	for _, part := range []string{`/problems/stale-mark"`, "was to be read from sequence number 0 on and begins with 1"} {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %s", got, part)
		}
	}
}

// TestOldMark: a mark that was kept once is another thing than one that never was.
func TestOldMark(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	s, err := a.find(defaultSpace)
	must(t, err)
	for s.KeepMark(kit.Mark{}).Name != "m10001" {
	}
	for path, status := range map[string]int{"hubs/eh1/events?count=0&since=m1": 410, "timeline?since=m1": 410, "timeline?since=m2": 200, "timeline?since=m10002": 404} {
		tell(t, a, status, "GET", "/admin/v1/spaces/default/"+path, "")
	}
}

// TestVersion: who makes or shows a space is told which broker it is.
func TestVersion(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{Version: "v1.2.3"})
	for _, got := range []string{tell(t, a, 201, "POST", "/admin/v1/spaces", `{"name":"s1"}`), tell(t, a, 200, "GET", "/admin/v1/spaces/default", "")} {
		if !strings.Contains(got, `"version":"v1.2.3"`) {
			t.Errorf("%s has no version", got)
		}
	}
}

// TestListGoesOn: a list is bounded, and its mark is where the next one begins.
func TestListGoesOn(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	tell(t, a, 201, "POST", "/admin/v1/spaces/default/hubs/eh1/events", "["+strings.Repeat(`{"text":"x"},`, listMax+4)+`{"text":"last"}]`)
	var got []int
	for _, since := range []string{"m0", "m1", "m2"} {
		var page struct {
			Events []eventOf
			More   bool
		}
		must(t, json.Unmarshal([]byte(tell(t, a, 200, "GET", "/admin/v1/spaces/default/hubs/eh1/events?count=0&since="+since, "")), &page))
		got = append(got, len(page.Events))
		if page.More != (since == "m0") {
			t.Errorf("since %s: more is %v", since, page.More)
		}
	}
	if want := []int{listMax, 5, 0}; !slices.Equal(got, want) {
		t.Errorf("lists of %v, want %v", got, want)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	long := func(n int) string { return `{"text":"` + strings.Repeat("x", n) + `"}` }
	for _, tt := range []struct{ method, path, body, has string }{
		{"POST", "/admin/v1/spaces", long(bodyBytesMax), "262144 bytes"},
		{"POST", "/admin/v1/spaces/default/faults", long(bodyBytesMax), "262144 bytes"},
		{"POST", "/admin/v1/spaces/default/hubs/eh1/expect", long(bodyBytesMax), "262144 bytes"},
		{"PUT", "/admin/v1/spaces/default/hubs/x", long(bodyBytesMax), "262144 bytes"},
		{"POST", "/admin/v1/spaces/default/hubs/eh1/events", long(publishBytesMax), "4194304 bytes"},
		{"POST", "/admin/v1/spaces/default/hubs/eh1/events", long(1 << 20), "an event may have 1048576"},
	} {
		got := tell(t, a, 413, tt.method, tt.path, tt.body)
		if !strings.Contains(got, tt.has) {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.path, got, tt.has)
		}
	}
}

func TestUnfinishedBody(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	r := request("POST", "/admin/v1/spaces", "{}")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"name":`), broken{}))
	w := ask(a, onThisMachine, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "the body ended early") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWithoutKit(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, Options{})
	for _, path := range []string{"/admin/v1/", "/admin/v1/spaces", "/admin/v1/spaces/default/hubs/eh1/events"} {
		got := tell(t, a, 404, "GET", path, "")
		const want = `{"type":"https://evhub.dev/problems/no-test-kit","title":"No test kit here","status":404,"detail":"this broker has policies of its own (Evhub.Policies), ` +
			`and the test kit lets in who has no key; evhub serve --dev has both"}` + "\n"
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := tell(t, a, 200, "GET", "/", ""); strings.Contains(got, "admin") {
		t.Errorf("the index names what is not there: %s", got)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	if got := tell(t, a, 200, "GET", "/", ""); !strings.Contains(got, "/admin/v1/ the test kit") {
		t.Errorf("index: %s", got)
	}
	got := tell(t, a, 200, "GET", "/admin/v1/", "")
	const want = `
GET /admin/v1/spaces/{space}/hubs/{hub}/readers
    wait until so many readers miss nothing any more
    curl 'http://localhost:5300/admin/v1/spaces/default/hubs/eh1/readers?group=$Default&count=4&timeout=5s'
`
	if !strings.Contains(got, want) {
		t.Errorf("the index lacks %s: %s", want, got)
	}
	r := request("GET", "/admin/v1/", "")
	r.Header.Set("Accept", "application/json")
	var list struct{ Calls []callJSON }
	must(t, json.Unmarshal(ask(a, onThisMachine, r).Body.Bytes(), &list))
	if len(list.Calls) != len(calls()) {
		t.Errorf("%d calls are listed, want %d", len(list.Calls), len(calls()))
	}
}

// TestReference: API.md has a section for each call and a row for each problem, its JSON is JSON, and the requests in it can be made.
func TestReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("API.md")
	must(t, err)
	for _, c := range calls() {
		if heading := fmt.Sprintf("\n### %s %s%s\n", c.method, kitRoot, c.path); !strings.Contains(string(text), heading) {
			t.Errorf("API.md lacks %q", heading)
		}
	}
	for _, s := range []*sort{badRequest, unauthorized, forbidden, notFound, noKit, methodNotAllowed, slowBody, taken, conflict, stale, gone,
		tooLarge, notJSON, unmet, internal, busy, closing, unavailable, full} {
		if row := fmt.Sprintf("\n| %d | `%s` |", s.status, s.slug); !strings.Contains(string(text), row) {
			t.Errorf("API.md lacks %q", row)
		}
	}
	var blocks []string
	for i, part := range strings.Split(string(text), "```") {
		if json, ok := strings.CutPrefix(part, "json\n"); ok && i%2 == 1 {
			blocks = append(blocks, json)
		}
	}
	requests := map[string]string{`{"name":"s1"`: "spaces", `[{"body":`: "spaces/s1/hubs/orders/events", `{"on":{`: "spaces/s1/faults"}
	a, _ := newKit(t, Options{})
	for _, block := range blocks {
		if !json.Valid([]byte(block)) {
			t.Errorf("API.md has this as JSON: %s", block)
		}
		for begin, path := range requests {
			if strings.HasPrefix(block, begin) {
				tell(t, a, 201, "POST", kitRoot+path, block)
				delete(requests, begin)
			}
		}
		if strings.HasPrefix(block, `{"since":"m0"`) {
			tell(t, a, 200, "POST", kitRoot+"spaces/s1/hubs/orders/expect", block)
		}
	}
	if len(requests) > 0 {
		t.Errorf("API.md lacks the requests %v", requests)
	}
}

func TestEveryKindHasWords(t *testing.T) {
	t.Parallel()
	for _, kind := range hub.Kinds() {
		s := hallSorts[kind]
		if s == nil {
			t.Errorf("kind %v has no row", kind)
			continue
		}
		if p := problemOf(&hub.Error{Kind: kind, Text: "Text."}); p.status != s.status {
			t.Errorf("kind %v: %d, want %d", kind, p.status, s.status)
		}
	}
	if p := problemOf(fmt.Errorf("secret %w", io.ErrUnexpectedEOF)); p.status != 500 || strings.Contains(p.detail, "secret") {
		t.Errorf("an error of ours: %d %s", p.status, p.detail)
	}
}

// TestRights: beyond loopback the kit wants an operator, or the key of the one space that is asked for.
func TestRights(t *testing.T) {
	t.Parallel()
	a, policies := newKit(t, Options{})
	a.o.Auth = policies
	must(t, policies.Add(auth.Policy{Name: "ops", Key: "ops-key-1", Rights: auth.Manage, Namespace: "other"}))
	must(t, policies.Add(auth.Policy{Name: "app", Key: "app-key-1", Rights: auth.Send | auth.Listen, Namespace: "s1"}))
	for _, name := range []string{"s1", "s2"} {
		tell(t, a, 201, "POST", "/admin/v1/spaces", `{"name":"`+name+`","hubs":{"orders":{}}}`)
	}
	s1, err := a.o.Kit.Space("s1")
	must(t, err)
	for _, tt := range []struct {
		name, at, policy, key, method, path string
		status                              int
	}{
		{"loopback", onThisMachine, "", "", "GET", "spaces", 200},
		{"nobody", beyond, "", "", "GET", "spaces", 401},
		{"nobody, new space", beyond, "", "", "POST", "spaces", 401},
		{"nobody, a space", beyond, "", "", "GET", "spaces/s1", 401},
		{"nobody, no space", beyond, "", "", "GET", "spaces/s9", 401},
		{"nobody, default space", beyond, "", "", "POST", "spaces/default/marks", 401},
		{"nobody, index", beyond, "", "", "GET", "", 200},
		{"operator", beyond, "ops", "ops-key-1", "GET", "spaces", 200},
		{"operator, new space", beyond, "ops", "ops-key-1", "POST", "spaces", 201},
		{"operator, a space", beyond, "ops", "ops-key-1", "GET", "spaces/s1", 200},
		{"operator, no space", beyond, "ops", "ops-key-1", "GET", "spaces/s9", 404},
		{"operator, default space", beyond, "ops", "ops-key-1", "GET", "spaces/default", 200},
		{"wrong key", beyond, "ops", "app-key-1", "GET", "spaces", 401},
		{"without Manage", beyond, "app", "app-key-1", "GET", "spaces/s1", 403},
		{"own space", beyond, "s1", s1.Key(), "GET", "spaces/S1", 200},
		{"own space, mark", beyond, "s1", s1.Key(), "POST", "spaces/s1/marks", 201},
		{"other space", beyond, "s1", s1.Key(), "GET", "spaces/s2", 403},
		{"default space with a space's key", beyond, "s1", s1.Key(), "GET", "spaces/default", 403},
		{"list with a space's key", beyond, "s1", s1.Key(), "GET", "spaces", 403},
		{"new space with a space's key", beyond, "s1", s1.Key(), "POST", "spaces", 403},
		{"metrics with a space's key", beyond, "s1", s1.Key(), "GET", "../../metrics", 403},
		{"metrics for the operator", beyond, "ops", "ops-key-1", "GET", "../../metrics", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := kitRoot + tt.path
			if rest, ok := strings.CutPrefix(tt.path, "../.."); ok {
				path = rest
			}
			r := request(tt.method, path, "")
			if tt.policy != "" {
				r.SetBasicAuth(tt.policy, tt.key)
			}
			w := ask(a, tt.at, r)
			if w.Code != tt.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tt.status)
			}
			if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (w.Code == 401) {
				t.Errorf("WWW-Authenticate is %q with status %d", w.Header().Get("WWW-Authenticate"), w.Code)
			}
		})
	}
}

// TestOpenToAll: without an authenticator nobody is asked.
func TestOpenToAll(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	if w := ask(a, beyond, request("POST", "/admin/v1/spaces", "{}")); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWebPagesDoNotReachTheKit(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	for _, tt := range []struct {
		name, at, host string
		header         map[string]string
		status         int
	}{
		{"program", onThisMachine, "localhost:5300", nil, 201},
		{"page", onThisMachine, "localhost:5300", map[string]string{"Origin": "http://evil.example"}, 403},
		{"page that hides", onThisMachine, "localhost:5300", map[string]string{"Origin": "null"}, 403},
		{"page of this port", onThisMachine, "localhost:5300", map[string]string{"Origin": "http://localhost:5300"}, 403},
		{"image", onThisMachine, "localhost:5300", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"form", onThisMachine, "localhost:5300", map[string]string{"Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		{"rebound name", onThisMachine, "evil.example", nil, 403},
		{"page, from elsewhere", beyond, "evhub.example", map[string]string{"Origin": "http://evil.example"}, 403},
	} {
		r := request("POST", "/admin/v1/spaces/default/marks", "")
		r.Host = tt.host
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		w := ask(a, tt.at, r)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", tt.name, w.Header())
		}
	}
	link := request("GET", "/admin/v1/", "")
	link.Header.Set("Sec-Fetch-Site", "cross-site")
	link.Header.Set("Sec-Fetch-Mode", "navigate")
	if w := ask(a, onThisMachine, link); w.Code != 200 {
		t.Errorf("somebody who follows a link: %d %s", w.Code, w.Body)
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	for _, tt := range []struct{ name, at, host, query, want string }{
		{"loopback", onThisMachine, "127.0.0.1:15300", "", "localhost:5672"},
		{"from another container", beyond, "evhub:5300", "", "evhub:5672"},
		{"without a port", beyond, "evhub", "", "evhub:5672"},
		{"IPv6", beyond, "[2001:db8::1]:5300", "", "[2001:db8::1]:5672"},
		{"IPv6 without a port", beyond, "[2001:db8::1]", "", "[2001:db8::1]:5672"},
		{"no name", beyond, "", "", "localhost:5672"},
		{"strange name", beyond, "a;SharedAccessKey=b", "", "localhost:5672"},
		{"said", onThisMachine, "localhost:5300", "?endpoint=10.0.0.7:32801", "10.0.0.7:32801"},
		{"said without a port", beyond, "evhub:5300", "?endpoint=broker", "broker"},
	} {
		r := request("GET", "/admin/v1/spaces/default"+tt.query, "")
		r.Host = tt.host
		var got spaceJSON
		must(t, json.Unmarshal(ask(a, tt.at, r).Body.Bytes(), &got))
		c, err := auth.ParseConnectionString(got.ConnectionStrings["eh1"])
		if err != nil || c.Host != tt.want || c.EntityPath != "eh1" {
			t.Errorf("%s: %q %v, want %s", tt.name, c.Host, err, tt.want)
		}
	}
}

// TestSecretsStay: where the default policy's key is a secret, or where there is no door, there are no connection strings.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	a.o.Connection = func() auth.ConnectionString { return auth.ConnectionString{Host: "localhost:5672", Emulator: true} }
	if got := tell(t, a, 200, "GET", "/admin/v1/spaces/default", ""); strings.Contains(got, "Endpoint") {
		t.Errorf("default: %s", got)
	}
	if got := tell(t, a, 201, "POST", "/admin/v1/spaces", `{"name":"s1","hubs":{"a":{}}}`); !strings.Contains(got, "EntityPath=a;") {
		t.Errorf("own: %s", got)
	}
	a.o.Connection = nil
	if got := tell(t, a, 200, "GET", "/admin/v1/spaces/s1", ""); strings.Contains(got, "Endpoint") {
		t.Errorf("without a door: %s", got)
	}
}

func TestNoDefault(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	a.o.Default = ""
	tell(t, a, 404, "GET", "/admin/v1/spaces/default", "")
	tell(t, a, 404, "DELETE", "/admin/v1/spaces/default", "")
	tell(t, a, 409, "POST", "/admin/v1/spaces", `{"name":"default"}`)
}

// TestSpacesAreApart: many tests at once, each in its space, see what is theirs.
func TestSpacesAreApart(t *testing.T) {
	t.Parallel()
	a, _ := newKit(t, Options{})
	var tests sync.WaitGroup
	for i := range 32 {
		tests.Go(func() {
			for round := range 5 {
				name := fmt.Sprintf("t%d-%d", i, round)
				space := "/admin/v1/spaces/" + name
				tell(t, a, 201, "POST", "/admin/v1/spaces", `{"name":"`+name+`","hubs":{"orders":{"partitions":2}},"ttl":"1m"}`)
				waiting := make(chan string, 1)
				go func() {
					w := ask(a, onThisMachine, request("POST", space+"/hubs/orders/expect", `{"expect":[{"count":2}],"others":"forbid","timeout":"60s"}`))
					waiting <- fmt.Sprint(w.Code, w.Body)
				}()
				tell(t, a, 201, "POST", space+"/hubs/orders/events", fmt.Sprintf(`[{"text":"%s"},{"text":"%[1]s"}]`, name))
				if got := <-waiting; !strings.HasPrefix(got, "200") || strings.Count(got, `"text":"`+name+`"`) != 2 {
					t.Errorf("%s: %s", name, got)
				}
				tell(t, a, 200, "DELETE", space+"?verify=1", "")
			}
		})
	}
	tests.Wait()
	if n := len(a.o.Hall.Namespaces()); n != 1 {
		t.Errorf("%d namespaces are left, want 1", n)
	}
}

// FuzzKit: whatever is asked, there is an answer, an error is a problem, and JSON is JSON.
func FuzzKit(f *testing.F) {
	for _, c := range calls() {
		f.Add(c.method, exampleNames.Replace(c.path)+"?"+c.query, c.body)
	}
	a, _ := newKit(f, Options{})
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if strings.Contains(path, "timeout") || strings.Contains(body, "timeout") || strings.Contains(body, "settle") {
			return // it would wait
		}
		r, err := http.NewRequest(method, "http://localhost:5300"+kitRoot+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", "application/json")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // as if the client left
		defer cancel()
		w := ask(a, onThisMachine, r.WithContext(ctx))
		kind := w.Header().Get("Content-Type")
		if strings.Contains(kind, "json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s %s: not JSON: %s", method, path, body, w.Body)
		}
		if w.Code == 500 {
			t.Errorf("%s %s %s: %s", method, path, body, w.Body)
		}
	})
}
