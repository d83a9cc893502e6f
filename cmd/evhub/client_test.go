package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
)

// events reads a hub with receive --json.
func (s *server) events(t *testing.T, args ...string) []eventLine {
	t.Helper()
	out := evhub(t, s.env, "", append([]string{"receive", "--json"}, args...)...).ok(t)
	var list []eventLine
	for line := range strings.Lines(out) {
		var e eventLine
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

func bodies(list []eventLine) (texts []string) {
	for _, e := range list {
		texts = append(texts, *e.Body)
	}
	return texts
}

func TestSendOneEvent(t *testing.T) {
	t.Parallel()
	s := serve(t)
	r := evhub(t, s.env, "", "send", "eh1", `{"Hello":"World!"}`, "--partition", "1",
		"--content-type", "application/json", "--property", "a=1", "--property", "b=x=y")
	r.ok(t)
	if r.out != "" || r.err != "evhub: sent 1 event to eh1\n" {
		t.Errorf("out %q, err %q", r.out, r.err)
	}
	list := s.events(t, "eh1")
	if len(list) != 1 {
		t.Fatalf("%d events", len(list))
	}
	e := list[0]
	if e.Partition != "1" || e.SequenceNumber != 0 || *e.Body != `{"Hello":"World!"}` || *e.ContentType != "application/json" ||
		e.Properties["a"] != "1" || e.Properties["b"] != "x=y" || e.Key != nil || time.Since(*e.EnqueuedTime) > time.Minute {
		t.Errorf("%+v", e)
	}

	plain := evhub(t, s.env, "", "receive", "eh1")
	if out := plain.ok(t); out != "1/0  {\"Hello\":\"World!\"}\n" {
		t.Errorf("out %q", out)
	}
	for _, want := range []string{"reading hub eh1, group $Default, 2 partitions, from the earliest event\n", "evhub: 1 event\n"} {
		if !strings.Contains(plain.err, want) {
			t.Errorf("no %q in: %s", want, plain.err)
		}
	}
}

func TestSendByKey(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "wide:8")
	for range 3 {
		evhub(t, s.env, "", "send", "wide", "hello", "--key", "customer-7").ok(t)
	}
	list := s.events(t, "wide")
	if len(list) != 3 {
		t.Fatalf("%d events", len(list))
	}
	for _, e := range list {
		if e.Partition != list[0].Partition || *e.Key != "customer-7" {
			t.Errorf("%+v", e)
		}
	}
}

func TestSendLines(t *testing.T) {
	t.Parallel()
	s := serve(t)
	out := evhub(t, s.env, "one\r\n\ntwo\n three ", "send", "eh1", "--partition", "0", "--json").ok(t)
	var sent struct {
		Hub           string
		Sent, Batches int
	}
	if err := json.Unmarshal([]byte(out), &sent); err != nil || sent.Hub != "eh1" || sent.Sent != 3 || sent.Batches < 1 {
		t.Errorf("%s: %v", out, err)
	}
	if got, want := bodies(s.events(t, "eh1")), []string{"one", "two", " three "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if r := evhub(t, s.env, "", "send", "eh1"); r.ok(t) != "" || !strings.Contains(r.err, "sent 0 events") {
		t.Errorf("no lines: %+v", r)
	}
}

// A line goes out when the next is not there yet, not at the end of the input.
func TestSendLinesAsTheyCome(t *testing.T) {
	t.Parallel()
	s := serve(t)
	in, lines := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"evhub", "send", "eh1"}, in, io.Discard, io.Discard, s.env.get)
	}()
	for _, line := range []string{"one", "two"} {
		fmt.Fprintln(lines, line)
		got := evhub(t, s.env, "", "receive", "eh1", "--from", "earliest", "--count", map[string]string{"one": "1", "two": "2"}[line]).ok(t)
		if !strings.Contains(got, line) {
			t.Errorf("%s is not there: %s", line, got)
		}
	}
	lines.Close()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestSendInterrupted(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, lines := io.Pipe()
	defer lines.Close()
	var errw safeBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"evhub", "send", "eh1"}, in, io.Discard, &errw, s.env.get)
	}()
	fmt.Fprintln(lines, "one")
	evhub(t, s.env, "", "receive", "eh1", "--count", "1").ok(t)
	cancel()
	// Whether it counts the event is open: that is stored by now, but its acknowledgement may still be on the way.
	if code := <-ended; code != exitFailed || !strings.Contains(errw.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, errw.String())
	}
}

func TestSendMoreThanABatch(t *testing.T) {
	t.Parallel()
	s := serve(t)
	line := strings.Repeat("x", 100_000) + "\n"
	out := evhub(t, s.env, strings.Repeat(line, 30), "send", "eh1", "--partition", "0", "--json").ok(t)
	var sent struct{ Sent, Batches int }
	if err := json.Unmarshal([]byte(out), &sent); err != nil || sent.Sent != 30 || sent.Batches < 3 {
		t.Errorf("%s: %v", out, err)
	}
	if n := len(s.events(t, "eh1")); n != 30 {
		t.Errorf("%d events", n)
	}
}

func TestSendTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t)
	large := strings.Repeat("x", 2<<20)
	r := evhub(t, s.env, "small\n"+large+"\nnever\n", "send", "eh1")
	r.fails(t, exitFailed, "an event with a body of 2097152 bytes is larger than hub eh1 takes: 1048576 bytes", "sent 1 event")
	if got := bodies(s.events(t, "eh1")); !slices.Equal(got, []string{"small"}) {
		t.Errorf("%.100q", got)
	}
	evhub(t, s.env, strings.Repeat("x", eventBytesMax+1), "send", "eh1").fails(t, exitFailed, "standard input, line 1")
	evhub(t, s.env, strings.Repeat("x", eventBytesMax+1), "send", "eh1", "--file", "-").fails(t, exitFailed, "no event can be that large")
}

func TestSendFile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	path := writeFile(t, "body", "two\nlines\n")
	evhub(t, s.env, "", "send", "eh1", "--partition", "0", "--file", path).ok(t)
	evhub(t, s.env, "\x00\xff", "send", "eh1", "--partition", "0", "--file", "-").ok(t)
	evhub(t, s.env, "", "send", "eh1", "--partition", "0", "--file", writeFile(t, "empty", "")).ok(t)
	evhub(t, s.env, "", "send", "eh1", "--file", path+"x").fails(t, exitFailed, "--file: open ")
	list := s.events(t, "eh1")
	if len(list) != 3 || *list[0].Body != "two\nlines\n" || string(list[1].BodyBase64) != "\x00\xff" || list[1].Body != nil || *list[2].Body != "" {
		t.Errorf("%+v", list)
	}
	want := "0/0  \"two\\nlines\\n\"\n0/1  \"\\x00\\xff\"\n0/2  \n"
	if got := evhub(t, s.env, "", "receive", "eh1").ok(t); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReceiveFrom(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "single:1")
	evhub(t, s.env, "a\nb\nc\nd\n", "send", "single").ok(t)
	list := s.events(t, "single")
	for _, tt := range []struct {
		from string
		want string
	}{
		{"earliest", "abcd"},
		{"seq:0", "abcd"},
		{"seq:2", "cd"},
		{"seq:3", "d"},
		{"seq:4", ""},
		{"seq:99", ""},
		{"offset:" + list[1].Offset, "bcd"},
		{"offset:999999", ""},
		{"time:2001-01-01T00:00:00Z", "abcd"},
		{"time:2999-01-01T00:00:00Z", ""},
	} {
		if got := strings.Join(bodies(s.events(t, "single", "--from", tt.from)), ""); got != tt.want {
			t.Errorf("from %s: %q, want %q", tt.from, got, tt.want)
		}
	}
	if got := bodies(s.events(t, "single", "--from", "seq:1", "--count", "2")); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("two from 1: %q", got)
	}
}

// Without --follow the partitions are merged in the order of their times, which is how the events were sent.
func TestReceiveInOrderOfTime(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "wide:3")
	for range 6 {
		evhub(t, s.env, "", "send", "wide", "hello").ok(t)
	}
	list := s.events(t, "wide")
	if len(list) != 6 {
		t.Fatalf("%d events", len(list))
	}
	for i, e := range list[1:] {
		if e.EnqueuedTime.Before(*list[i].EnqueuedTime) {
			t.Errorf("%s comes after %s", e.EnqueuedTime, list[i].EnqueuedTime)
		}
	}
	if got := s.events(t, "wide", "--partition", "1"); len(got) != 2 || got[0].Partition != "1" {
		t.Errorf("partition 1: %+v", got)
	}
}

func TestReceiveFollowsFromLatest(t *testing.T) {
	t.Parallel()
	s := serve(t)
	evhub(t, s.env, "", "send", "eh1", "old").ok(t)
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	errs, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"evhub", "receive", "eh1", "--follow", "--from", "latest", "--group", "CG1"}, nil, stdout, stderr, s.env.get)
	}()
	if _, err := errs.Read(make([]byte, 1<<10)); err != nil { // "reading hub ...": from here on nothing is missed
		t.Fatal(err)
	}
	go io.Copy(io.Discard, errs)
	for _, body := range []string{"new one", "new two"} {
		evhub(t, s.env, "", "send", "eh1", body).ok(t)
		line := make([]byte, 1<<10)
		n, err := out.Read(line)
		if err != nil || !strings.HasSuffix(string(line[:n]), "  "+body+"\n") {
			t.Errorf("%q, %v", line[:n], err)
		}
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// What was there at the start may be gone before it is read; receive must not wait for it.
func TestReceiveDoesNotWaitForWhatIsGone(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "single:1")
	r := receiving{connection: connection{app: &app{getenv: s.env.get}}, hub: "single", group: "$Default"}
	var err error
	if r.start, err = parsePosition("earliest"); err != nil {
		t.Fatal(err)
	}
	if r.client, err = r.consumer("single", "$Default"); err != nil {
		t.Fatal(err)
	}
	defer leave(r.client)
	state, err := r.partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state[0].IsEmpty, state[0].LastEnqueuedSequenceNumber = false, 7
	if n, err := r.read(t.Context(), state); n != 0 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	nobody := env{"EVENTHUB_CONNECTION_STRING": strings.Replace(s.ConnectionString, s.AMQP, gone.Addr().String(), 1)}
	wrongKey := env{"EVENTHUB_CONNECTION_STRING": strings.Replace(s.ConnectionString, "SAS_KEY_VALUE", "something-else", 1)}
	otherHub := env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString + "EntityPath=orders;"}
	azure := func(endpoint string) env { // without UseDevelopmentEmulator
		return env{"EVENTHUB_CONNECTION_STRING": "Endpoint=sb://" + endpoint + ";SharedAccessKeyName=n;SharedAccessKey=k"}
	}
	onHTTP := env{"EVENTHUB_CONNECTION_STRING": strings.Replace(s.ConnectionString, s.AMQP, strings.TrimPrefix(s.API, "http://"), 1)}
	for _, tt := range []struct {
		name string
		env  env
		args string
		code int
		says []string
	}{
		{"send, an HTTP port", onHTTP, "send eh1 x", exitFailed, []string{"is an HTTP port, and this needs one of AMQP", "5672"}},
		{"send, TLS to AMQP", azure(s.AMQP), "send eh1 x", exitFailed, []string{"the connection was lost: EOF\n", "needs UseDevelopmentEmulator=true"}},
		{"send, TLS to HTTP", azure(strings.TrimPrefix(s.API, "http://")), "send eh1 x", exitFailed, []string{"lost: tls: ", "needs UseDevelopmentEmulator=true"}},
		{"send, no Azure", azure(gone.Addr().String()), "send eh1 x", exitFailed, []string{"evhub: no broker answers: " + gone.Addr().String(), "check the Endpoint"}},
		{"send, no broker", nobody, "send eh1 x", exitFailed, []string{"no broker answers at " + gone.Addr().String(), "hint: start one with: evhub serve"}},
		{"receive, no broker", nobody, "receive eh1", exitFailed, []string{"no broker answers at"}},
		{"hubs, no broker", nobody, "hubs", exitFailed, []string{"no broker answers at"}},
		{"send, wrong key", wrongKey, "send eh1 x", exitFailed, []string{"not authorized: ", "hint: check SharedAccessKeyName"}},
		{"receive, wrong key", wrongKey, "receive eh1", exitFailed, []string{"not authorized: "}},
		{"hubs, wrong key", wrongKey, "hubs eh1", exitFailed, []string{"not authorized: "}},
		{"send, unknown hub", s.env, "send nosuch x", exitFailed, []string{"nosuch", "could not be found.\n", "hint: check the names"}},
		{"receive, unknown hub", s.env, "receive nosuch", exitFailed, []string{"nosuch", "could not be found"}},
		{"hubs, unknown hub", s.env, "hubs nosuch", exitFailed, []string{"nosuch", "could not be found"}},
		{"receive, unknown group", s.env, "receive eh1 --group nosuch --count 1", exitFailed, []string{"nosuch", "could not be found"}},
		{"send, unknown partition", s.env, "send eh1 x --partition 7", exitFailed, []string{"between 0 and 1"}},
		{"receive, unknown partition", s.env, "receive eh1 --partition 7", exitFailed, []string{"hub eh1 has no partition 7", "hint: it has 0, 1"}},
		{"send, hub of another connection string", otherHub, "send eh1 x", exitUsage, []string{`is for hub "orders", not for "eh1"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			r := evhub(t, tt.env, "", strings.Fields(tt.args)...)
			r.fails(t, tt.code, tt.says...)
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s to fail", took)
			}
			if strings.Contains(r.err, "(connlost)") || strings.Contains(r.err, "TrackingId") || strings.Contains(r.err, "Error{") || strings.Contains(r.err, "something-else") {
				t.Errorf("%s", r.err)
			}
		})
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	const one, two = "Endpoint=sb://one;SharedAccessKeyName=n;SharedAccessKey=k;", "Endpoint=sb://two;SharedAccessKeyName=n;SharedAccessKey=k;"
	for _, tt := range []struct{ flag, variable, host string }{
		{"", "", "localhost:5672"},
		{"", one, "one"},
		{two, one, "two"},
	} {
		c := connection{app: &app{getenv: env{"EVENTHUB_CONNECTION_STRING": tt.variable}.get}, flag: tt.flag}
		cs, err := c.string()
		if err != nil || cs.Host != tt.host {
			t.Errorf("%+v: %s, %v", tt, cs.Host, err)
		}
	}
}

func TestHubs(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "orders:1")
	evhub(t, s.env, "a\nb\n", "send", "eh1", "--partition", "1").ok(t)
	var lines []hubLine
	for line := range strings.Lines(evhub(t, s.env, "", "hubs", "ORDERS", "eh1", "--json").ok(t)) {
		var h hubLine
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, h)
	}
	if len(lines) != 2 || lines[0].Name != "orders" || len(lines[0].Partitions) != 1 || len(lines[1].Partitions) != 2 {
		t.Fatalf("%+v", lines)
	}
	empty, used := lines[1].Partitions[0], lines[1].Partitions[1]
	if !empty.IsEmpty || empty.LastEnqueuedOn != nil || empty.LastEnqueuedSequenceNumber != -1 {
		t.Errorf("%+v", empty)
	}
	if used.IsEmpty || used.BeginningSequenceNumber != 0 || used.LastEnqueuedSequenceNumber != 1 || time.Since(*used.LastEnqueuedOn) > time.Minute {
		t.Errorf("%+v", used)
	}
	text := evhub(t, s.env, "", "hubs").ok(t)
	if !strings.HasPrefix(text, "hub eh1, 2 partitions, created ") || !strings.Contains(text, "nothing yet") {
		t.Errorf("%s", text)
	}
	orders := env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString + "EntityPath=orders;"}
	if text := evhub(t, orders, "", "hubs").ok(t); !strings.HasPrefix(text, "hub orders, 1 partition, ") {
		t.Errorf("%s", text)
	}
	azure := env{"EVENTHUB_CONNECTION_STRING": "Endpoint=sb://example.servicebus.windows.net;SharedAccessKeyName=n;SharedAccessKey=k;"}
	for _, command := range []string{"hubs", "receive"} {
		evhub(t, azure, "", command).fails(t, exitUsage, "name a hub", "EntityPath")
	}
}

// A token opens its hub, through the SDK, and no other.
func TestHubsCreateAndDelete(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString, "EVHUBTEST_URL": s.Admin}
	if out := evhub(t, e, "", "hubs", "create", "orders:4:billing").ok(t); out != "hub orders, 4 partitions\n" {
		t.Errorf("%q", out)
	}
	evhub(t, e, "", "hubs", "create", "orders:4:billing").ok(t) // it is there as wished
	evhub(t, e, "", "send", "orders", "hi").ok(t)
	evhub(t, e, "", "receive", "orders", "--group", "billing", "--count", "1").ok(t)
	evhub(t, env{"EVENTHUB_CONNECTION_STRING": s.ConnectionString + "EntityPath=orders;"}, "", "receive", "--count", "1").ok(t)
	evhub(t, e, "", "hubs", "create", "orders:3").fails(t, exitFailed, "orders")
	if out := evhub(t, e, "", "hubs", "delete", "orders").ok(t); out != "hub orders deleted\n" {
		t.Errorf("%q", out)
	}
	evhub(t, e, "", "hubs", "orders").fails(t, exitFailed, "orders")
	evhub(t, e, "", "hubs", "delete", "eh1").ok(t)
	for _, command := range []string{"hubs", "receive"} {
		evhub(t, e, "", command).fails(t, exitFailed, "could not be found", "no hub is named, so eh1 was meant")
	}
	evhub(t, e, "", "hubs", "delete", "order").fails(t, exitFailed, "order")
	evhub(t, e, "", "hubs", "create", "orders:0").fails(t, exitUsage, "0")
	evhub(t, e, "", "hubs", "create", "orders", "--admin", "http://127.0.0.1:1").fails(t, exitFailed, "no broker answers", "evhub serve")
	evhub(t, e, "", "hubs", "create", "orders", "--admin", "127.0.0.1").fails(t, exitUsage, "--admin")
}

func TestTokenSAS(t *testing.T) {
	t.Parallel()
	s := serve(t, "--hub", "orders")
	token := strings.TrimSpace(evhub(t, s.env, "", "token", "sas", "--hub", "orders", "--ttl", "10m").ok(t))
	sas, err := auth.ParseSAS(token)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(sas.Expires); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("%s left", left)
	}
	with := env{"EVENTHUB_CONNECTION_STRING": "Endpoint=sb://" + s.AMQP + ";SharedAccessSignature=" + token + ";UseDevelopmentEmulator=true"}
	evhub(t, with, "", "send", "orders", "hello").ok(t)
	evhub(t, with, "", "send", "eh1", "hello").fails(t, exitFailed, "not authorized")
	evhub(t, with, "", "token", "sas").fails(t, exitUsage, "a token cannot sign another")

	named := strings.TrimSpace(evhub(t, nil, "", "token", "sas", "--policy", "app", "--key", "secret+key=").ok(t))
	if sas, err := auth.ParseSAS(named); err != nil || sas.KeyName != "app" || !sas.SignedBy("secret+key=") || auth.NormalizePath(sas.Resource) != "" {
		t.Errorf("%v, %v", sas, err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, url := range []string{s.Admin, s.Admin + "/", s.Admin + "/health"} {
		if out := evhub(t, nil, "", "health", url).ok(t); out != "Service is healthy.\n" {
			t.Errorf("%s: %q", url, out)
		}
	}
	evhub(t, nil, "", "health", s.Admin+"/nothing").fails(t, exitFailed, s.Admin+"/nothing: 404 Not Found")
	evhub(t, env{"EVHUBTEST_URL": s.Admin}, "", "health").ok(t)
	s.stop()
	<-s.ended
	evhub(t, nil, "", "health", s.Admin).fails(t, exitFailed, "no health from "+s.Admin+"/health", "evhub serve")

	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"status":"unhealthy","message":"AMQP does not answer"}`)
	}))
	defer sick.Close()
	evhub(t, nil, "", "health", sick.URL).fails(t, exitFailed, "evhub: AMQP does not answer\n")
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "Config.json", ownPolicies)
	out := evhub(t, nil, "", "config", "check", path).ok(t)
	for _, want := range []string{path + ": a configuration of serve\n", "namespace emulatorNs1\n", "  hub orders, 3 partitions, groups $Default, retention 24h\n",
		"policy app of emulatorNs1 (Listen,Send) key ***\n", "listen amqp localhost:5672, admin localhost:5300\n", "notification service: none"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
	if strings.Contains(out, "a-secret-key") {
		t.Errorf("%s", out)
	}
	if byVariable := evhub(t, env{"EVHUB_CONFIG": path}, "", "config", "check").ok(t); byVariable != out {
		t.Errorf("%s", byVariable)
	}
	if defaults := evhub(t, nil, "", "config", "check").ok(t); !strings.Contains(defaults, "hub eh1, 2 partitions, groups $Default cg1") {
		t.Errorf("%s", defaults)
	}

	wrong := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns", "Entities": [{"Name": "eh1", "PartitionCount": "two"}, {"Name": "-"}]}]}}`)
	r := evhub(t, nil, "", "config", "check", wrong)
	r.fails(t, exitFailed, wrong+":1:", "Entities[0].PartitionCount: ", "Entities[1].Name: ")
	if r.out != "" {
		t.Errorf("standard output: %s", r.out)
	}
	unknown := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns", "Entities": [], "Tpe": "EventHub"}]}}`)
	if r := evhub(t, nil, "", "config", "check", unknown); r.ok(t) == "" || !strings.Contains(r.err, "warning: "+unknown+":1:") {
		t.Errorf("%+v", r)
	}
}

func TestConfigCheckUnits(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns", "Entities": [{"Name": "a", "PartitionCount": 1, "Retention": "90m"},
		{"Name": "b", "PartitionCount": 1}]}], "LoggingConfig": {"Type": "File"}},
		"Evhub": {"Retention": "7d", "Memory": "256MiB", "Limits": {"EventBytesMax": 2000000, "IdleTimeout": "60s"}}}`)
	out := evhub(t, nil, "", "config", "check", path).ok(t)
	for _, want := range []string{"hub a, 1 partition, groups $Default, retention 1h30m\n", "hub b, 1 partition, groups $Default, retention 7d\n",
		"memory 256MiB, event or batch 2000000 bytes, readers without epoch 5, idle time-out 1m\n", "log standard error and evhub.log\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
}

// TestWrongKindOfFile: a file for another command is called what it is.
func TestWrongKindOfFile(t *testing.T) {
	t.Parallel()
	broker, gateway := writeFile(t, "Config.json", `{"UserConfig": {"NamespaceConfig": []}}`), writeFile(t, "gateway.yaml", "routes: {}\n")
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"serve", []string{"serve", "--config", gateway}, []string{gateway + ": this is a configuration of evhub gateway", "evhub gateway --config " + gateway}},
		{"gateway", []string{"gateway", "--config", broker}, []string{broker + ": this is a configuration of evhub serve", "evhub gateway example"}},
		{"YAML of unknown keys", []string{"config", "check", writeFile(t, "g.yaml", "rotes: {}\n")}, []string{":1:1: rotes: is not a known key"}},
		{"Config.json by another name", []string{"config", "check", writeFile(t, "c.yml", `{"UserConfig": {}}`)}, []string{"UserConfig.NamespaceConfig: is missing"}},
		{"empty JSON", []string{"config", "check", writeFile(t, "c.json", "\n")}, []string{"c.json: is empty"}},
		{"empty YAML", []string{"config", "check", writeFile(t, "c.yaml", "")}, []string{"c.yaml: is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			evhub(t, nil, "", tt.args...).fails(t, exitFailed, tt.says...)
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var b build
	if err := json.Unmarshal([]byte(evhub(t, nil, "", "version", "--json").ok(t)), &b); err != nil || b != buildOf() {
		t.Errorf("%+v, %v", b, err)
	}
	for _, arg := range []string{"version", "--version"} {
		if out := evhub(t, nil, "", arg).ok(t); out != buildOf().String()+"\n" || !strings.HasPrefix(out, "evhub ") {
			t.Errorf("%s: %q", arg, out)
		}
	}
}
