package admin

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
)

const (
	kitRoot = "/admin/v1/"

	defaultSpace = "default" // the name of the space that stands for Options.Default

	bodyBytesMax    = 256 << 10
	publishBytesMax = 4 << 20
)

// call is one thing the test kit does over HTTP.
type call struct {
	method string
	path   string // below kitRoot, with {space}, {hub}, {group} and {fault}
	params string // names of the query's parameters, separated by spaces, or anyParams: the call looks for itself
	test   bool   // it is a test's: from then on the space is traced, so that a miss can say what happened
	does   string
	query  string // of the example
	body   string // of the example; "": it takes none
	serve  func(*visit) (*answer, error)
}

// calls lists all of them in the order of the index.
func calls() []call {
	return []call{
		{"GET", "", "", false, "list these calls (Accept: application/json for JSON)", "", "", (*visit).listCalls},

		{"POST", "spaces", "endpoint", false, "make a space: hubs of its own, and a key that opens nothing else", "",
			`{"hubs":{"orders":{"partitions":4,"groups":["audit"]}},"ttl":"10m"}`, (*visit).createSpace},
		{"GET", "spaces", "", false, "list the spaces", "", "", (*visit).listSpaces},
		{"GET", "spaces/{space}", "endpoint", false, "show a space and its connection strings", "", "", (*visit).showSpace},
		{"DELETE", "spaces/{space}", "verify timeout", false, "delete a space; with verify say what is left: unfired faults, open links",
			"verify=1", "", (*visit).deleteSpace},

		{"POST", "spaces/{space}/marks", "", true, "take a mark: from here on", "", "", (*visit).takeMark},
		{"GET", "spaces/{space}/hubs/{hub}/events", anyParams, true, "wait for events after a mark that match", "since=m0&count=2&path.State=paid", "",
			(*visit).awaitEvents},
		{"POST", "spaces/{space}/hubs/{hub}/expect", "", true, "wait until an expectation holds, or say why it does not", "",
			`{"expect":[{"where":{"subset":{"State":"paid"}},"count":1}],"timeout":"5s"}`, (*visit).expect},
		{"POST", "spaces/{space}/hubs/{hub}/events", "", true, "publish one event, or an array of them", "", `{"body":{"ID":"7"},"key":"7"}`,
			(*visit).publish},
		{"GET", "spaces/{space}/hubs/{hub}/readers", "group count timeout", true, "wait until so many readers miss nothing any more",
			"group=$Default&count=4&timeout=5s", "", (*visit).awaitReaders},

		{"POST", "spaces/{space}/faults", "", true, "set a fault for the next client that fits", "",
			`{"on":{"op":"send","times":3},"do":{"type":"throttle"}}`, (*visit).setFault},
		{"GET", "spaces/{space}/faults", "", true, "list the faults", "", "", (*visit).listFaults},
		{"GET", "spaces/{space}/faults/{fault}", "hits timeout", true, "show a fault; with hits wait until it has fired so often",
			"hits=3&timeout=5s", "", (*visit).awaitFault},
		{"DELETE", "spaces/{space}/faults/{fault}", "", true, "remove a fault", "", "", (*visit).removeFault},

		{"GET", "spaces/{space}/timeline", "since", true, "what happened on the wire", "since=m0", "", (*visit).timeline},
		{"GET", "spaces/{space}/links", "", true, "the links that are up", "", "", (*visit).links},

		{"GET", "spaces/{space}/hubs", "endpoint", false, "list the hubs", "", "", (*visit).listHubs},
		{"GET", "spaces/{space}/hubs/{hub}", "endpoint", false, "show a hub", "", "", (*visit).showHub},
		{"PUT", "spaces/{space}/hubs/{hub}", "endpoint", false, "make a hub", "", `{"partitions":4,"groups":["audit"]}`, (*visit).putHub},
		{"DELETE", "spaces/{space}/hubs/{hub}", "", false, "delete a hub with its events", "", "", (*visit).deleteHub},
		{"PUT", "spaces/{space}/hubs/{hub}/groups/{group}", "", false, "make a consumer group", "", "", (*visit).putGroup},
		{"DELETE", "spaces/{space}/hubs/{hub}/groups/{group}", "", false, "delete a consumer group", "", "", (*visit).deleteGroup},
	}
}

// addKit adds the calls of the test kit, and for each path the answer to other methods.
func (a *Admin) addKit() {
	if a.o.Kit == nil {
		a.mux.Handle(kitRoot, a.wrap(func(http.ResponseWriter, *http.Request) error {
			return refuse(noKit, "this broker has policies of its own (Evhub.Policies), and the test kit lets in who has no key; evhub serve --dev has both")
		}))
		return
	}
	a.openDefault() // now, so that its first mark is before all events; a call that needs it will say what is wrong
	list := calls()
	methods := make(map[string][]string)
	for i := range list {
		c := &list[i]
		pattern := kitRoot + cmp.Or(c.path, "{$}")
		methods[pattern] = append(methods[pattern], c.method)
		a.mux.Handle(c.method+" "+pattern, a.answering(c))
	}
	for pattern, list := range methods {
		allow := strings.Join(slices.Sorted(slices.Values(list)), ", ")
		a.mux.Handle(pattern, a.wrap(func(_ http.ResponseWriter, r *http.Request) error {
			p := refuse(methodNotAllowed, "%.20s does not go here; there is %s", r.Method, allow)
			p.allow = allow
			return p
		}))
	}
	a.mux.Handle(kitRoot, a.wrap(func(http.ResponseWriter, *http.Request) error {
		return refuse(notFound, "there is no such call; GET %s lists all", kitRoot)
	}))
}

// visit is one request to the test kit.
type visit struct {
	*Admin
	w     http.ResponseWriter
	r     *http.Request
	query query
	space *kit.Space // nil for calls without {space}
}

// answer is what a call gives: JSON, and text for who wants that.
type answer struct {
	status int    // 0: 200
	body   any    // nil: text in any case
	text   string // "": there is nothing to say that the status does not
}

func (a *Admin) answering(c *call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Admin: a, w: w, r: r}
		given, err := v.serve(c)
		switch {
		case errors.Is(err, context.Canceled) && r.Context().Err() != nil: // the client has left
		case err != nil:
			a.fail(w, r, err)
		default:
			v.write(given)
		}
	})
}

func (v *visit) serve(c *call) (*answer, error) {
	values, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(badRequest, "the query cannot be read: %v", err)
	}
	v.query = query(values)
	if c.path == "" {
		return c.serve(v)
	}
	name := v.r.PathValue("space")
	if err := v.operator(v.r, v.namespace(name)); err != nil {
		return nil, err
	}
	if err := v.query.check(c.params); err != nil {
		return nil, err
	}
	if name == "" {
		return c.serve(v)
	}
	if v.space, err = v.find(name); err != nil {
		return nil, err
	}
	if c.test {
		v.trace(v.space)
	}
	return c.serve(v)
}

func (v *visit) write(given *answer) {
	h := v.w.Header()
	h.Set("Cache-Control", "no-store")
	status := cmp.Or(given.status, http.StatusOK)
	if wantsText(v.r) || given.body == nil {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		v.w.WriteHeader(status)
		if given.text != "" {
			io.WriteString(v.w, given.text+"\n")
		}
		return
	}
	h.Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	v.w.Write(object(given.body))
}

// body reads the request's body, which must be JSON if there is one.
func (v *visit) body(bytesMax int64) ([]byte, error) {
	if v.r.ContentLength == 0 {
		return nil, nil
	}
	given := v.r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(given); err != nil || kind != "application/json" {
		return nil, refuse(notJSON, "the Content-Type must be application/json and is %.60q; with curl: "+
			"-H 'Content-Type: application/json' -d '{...}'", given)
	}
	if encoding := v.r.Header.Get("Content-Encoding"); encoding != "" {
		return nil, refuse(notJSON, "the body must come as it is, without the Content-Encoding %.30q", encoding)
	}
	data, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, bytesMax))
	if err == nil {
		return data, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(tooLarge, "the body has more than %d bytes, which is what this call takes", bytesMax)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil, refuse(slowBody, "the body did not come in time")
	}
	return nil, refuse(badRequest, "the body ended early: %v", err)
}

// namespace is that of the space of this name.
func (a *Admin) namespace(space string) string {
	if strings.EqualFold(space, defaultSpace) {
		return a.o.Default
	}
	return space
}

// find gives the space of this name. Kind: NotFound, with a Hint about what there is.
func (a *Admin) find(name string) (*kit.Space, error) {
	if a.o.Default != "" && strings.EqualFold(a.namespace(name), a.o.Default) {
		return a.openDefault()
	}
	s, err := a.o.Kit.Space(name)
	if missing, ok := errors.AsType[*hub.Error](err); ok {
		missing.Hint = a.spacesHint()
	}
	return s, err
}

// spacesHint names the spaces, as far as a line goes.
func (a *Admin) spacesHint() string {
	const listMax = 10
	var names []string
	for i, s := range a.o.Kit.Spaces() {
		if i == listMax {
			names = append(names, "...")
			break
		}
		names = append(names, a.shownName(s))
	}
	if names == nil {
		return "there is none"
	}
	return "spaces here: " + strings.Join(names, ", ")
}

// openDefault makes a space of the default namespace, unless it is one already.
func (a *Admin) openDefault() (*kit.Space, error) {
	if a.o.Default == "" {
		return nil, nil
	}
	return a.o.Kit.Open(a.o.Default)
}

// trace has the kit keep a timeline of the default space until it is cleared. Others have one from the beginning.
func (a *Admin) trace(s *kit.Space) {
	if !a.isDefault(s) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.traced != s {
		a.traced = s
		s.Trace()
	}
}

func (a *Admin) isDefault(s *kit.Space) bool { return strings.EqualFold(s.Name(), a.o.Default) }

// isMade tells whether the namespace was made by the kit, with a key that is a test's.
func (a *Admin) isMade(namespace string) bool {
	if a.o.Kit == nil {
		return false
	}
	s, err := a.o.Kit.Space(namespace)
	return err == nil && s.Key() != ""
}

// shownName is what the space is called in answers.
func (a *Admin) shownName(s *kit.Space) string {
	if a.isDefault(s) {
		return defaultSpace
	}
	return s.Name()
}

// clip bounds what is repeated of a request.
func clip(s string) string {
	const bytesMax = 40
	if len(s) > bytesMax {
		return strings.ToValidUTF8(s[:bytesMax], "") + "..."
	}
	return s
}
