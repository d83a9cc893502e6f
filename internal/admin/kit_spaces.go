package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
	"github.com/evhub-dev/evhub/internal/webpage"
)

// spaceJSON is a space with what its clients need.
type spaceJSON struct {
	Space             string            `json:"space"`
	Mark              string            `json:"mark"` // the first one
	Seed              uint64            `json:"seed,omitempty"`
	Version           string            `json:"version,omitempty"`          // of the broker
	ConnectionString  string            `json:"connectionString,omitempty"` // of the namespace
	ConnectionStrings map[string]string `json:"connectionStrings"`          // by hub
}

func (v *visit) createSpace() (*answer, error) {
	data, err := v.body(bodyBytesMax)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	spec, err := kit.ParseSpace(data)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(spec.Name, defaultSpace) {
		return nil, refuse(taken, "the space '%s' is the broker's own", defaultSpace)
	}
	endpoint, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	if v.o.Hall.Namespace(spec.Name) != nil { // the hall would speak of a namespace
		return nil, refuse(taken, "there is a space '%s' already; without a name one is made up", spec.Name)
	}
	if v.space, err = v.o.Kit.Create(spec); err != nil {
		return nil, err
	}
	v.space.Trace()
	v.w.Header().Set("Location", kitRoot+"spaces/"+url.PathEscape(v.space.Name()))
	given := v.describe(endpoint)
	given.status = http.StatusCreated
	return given, nil
}

func (v *visit) showSpace() (*answer, error) {
	endpoint, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	return v.describe(endpoint), nil
}

// describe shows the space; as text its connection strings, a line for each hub.
func (v *visit) describe(endpoint string) *answer {
	s := spaceJSON{
		Space: v.shownName(v.space), Mark: "m0", Seed: v.space.Seed(), Version: v.o.Version,
		ConnectionString: v.connection(endpoint, ""), ConnectionStrings: make(map[string]string),
	}
	lines := []string{s.Space}
	for _, h := range v.space.Namespace().Hubs() {
		line := h.Name()
		if connection := v.connection(endpoint, h.Name()); connection != "" {
			s.ConnectionStrings[h.Name()] = connection
			line += " " + connection
		}
		lines = append(lines, line)
	}
	return &answer{body: s, text: strings.Join(lines, "\n")}
}

// endpoint is where the space's clients dial, "" if that is not known. Who asks may say it, since ports may be forwarded. Who came in from
// another machine dials the host that the request names, which the broker itself may not know.
func (v *visit) endpoint() (string, error) {
	const name = "endpoint"
	if v.query.has(name) {
		given := v.query.text(name)
		if !isEndpoint(given) {
			return "", wrong(name, "it must be a host or host:port, not %.60q", given)
		}
		return given, nil
	}
	if v.o.Connection == nil {
		return "", nil
	}
	own := v.o.Connection().Host
	_, port, err := net.SplitHostPort(own)
	if err != nil || webpage.OnLoopback(v.r) || !isEndpoint(v.r.Host) {
		return own, nil
	}
	host, _, err := net.SplitHostPort(v.r.Host)
	if err != nil {
		host = strings.Trim(v.r.Host, "[]")
	}
	return net.JoinHostPort(host, port), nil
}

// isEndpoint keeps out what would end the value in a connection string.
func isEndpoint(s string) bool {
	const bytesMax = 256
	strange := func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !letter && !strings.ContainsRune(".-_:[]", c)
	}
	return s != "" && len(s) <= bytesMax && !strings.ContainsFunc(s, strange)
}

// connection is the connection string of a hub, or with "" that of the namespace; "" if there is none to give.
func (v *visit) connection(endpoint, hubName string) string {
	if v.o.Connection == nil {
		return ""
	}
	c := auth.ConnectionString{Emulator: true, KeyName: v.space.Name(), Key: v.space.Key()}
	if v.isDefault(v.space) {
		c = v.o.Connection()
	}
	if c.Key == "" {
		return ""
	}
	c.Host, c.EntityPath = endpoint, hubName
	return c.Encode()
}

func (v *visit) listSpaces() (*answer, error) {
	type line struct {
		Space string   `json:"space"`
		Hubs  []string `json:"hubs"`
	}
	list, text := []line{}, []string{}
	for _, s := range v.o.Kit.Spaces() {
		l := line{Space: v.shownName(s), Hubs: []string{}}
		for _, h := range s.Namespace().Hubs() {
			l.Hubs = append(l.Hubs, h.Name())
		}
		list = append(list, l)
		text = append(text, l.Space+": "+strings.Join(l.Hubs, ", "))
	}
	return &answer{body: map[string]any{"spaces": list}, text: strings.Join(text, "\n")}, nil
}

// partingTime is how long verify waits for links to go, unless told: a client that was closed a moment ago may still be heard.
const partingTime = time.Second

// deleteSpace deletes in any case. The default space only loses its faults, marks and timeline.
func (v *visit) deleteSpace() (*answer, error) {
	verify, err := v.query.flag("verify")
	if err != nil {
		return nil, err
	}
	patience, err := v.query.timeout(partingTime)
	if err != nil {
		return nil, err
	}
	var problems []string
	if verify {
		if len(v.space.Links()) > 0 {
			v.wait(patience, v.untilNoLinks) // however it ends, what is left is told
		}
		problems = v.space.Verify()
	}
	if err := v.space.Delete(); err != nil {
		return nil, err
	}
	if _, err := v.openDefault(); err != nil {
		return nil, err
	}
	name := v.shownName(v.space)
	if len(problems) > 0 {
		return nil, leftBehind(name, problems)
	}
	return &answer{body: map[string]any{"ok": true, "space": name}}, nil
}

func leftBehind(space string, problems []string) *problem {
	what := fmt.Sprintf("the space '%s' was not left clean:", space)
	return unmetWith(what+" "+strings.Join(problems, "; "), what+"\n  "+strings.Join(problems, "\n  "), map[string]any{"problems": problems})
}

// untilNoLinks returns when the space has no links, or when the context ends.
func (v *visit) untilNoLinks(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	stop := v.o.Hall.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for len(v.space.Links()) > 0 {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (v *visit) takeMark() (*answer, error) {
	m := v.space.KeepMark(v.space.Mark())
	type mark struct {
		Mark      string                      `json:"mark"`
		At        time.Time                   `json:"at"`
		Positions map[string]map[string]int64 `json:"positions"`
	}
	return &answer{status: http.StatusCreated, body: mark{m.Name, m.At.UTC(), m.Positions()}, text: m.Name}, nil
}

func (v *visit) timeline() (*answer, error) {
	since, err := v.space.KeptMark(v.query.text("since"))
	if err != nil {
		return nil, err
	}
	list, text := []kit.Entry{}, []string{}
	for _, e := range v.space.Timeline() {
		if !e.At.Before(since.At) {
			list = append(list, e)
			text = append(text, e.String())
		}
	}
	return &answer{body: map[string]any{"timeline": list}, text: strings.Join(text, "\n")}, nil
}

// linkJSON is a link that is up.
type linkJSON struct {
	ID        uint64    `json:"id"`
	Kind      string    `json:"kind"` // sender or reader
	Hub       string    `json:"hub"`
	Partition *int      `json:"partition,omitempty"` // none: a sender to any
	Group     string    `json:"group,omitempty"`
	Epoch     *int64    `json:"epoch,omitempty"`
	Client    string    `json:"client,omitempty"`
	Name      string    `json:"name,omitempty"`
	Credit    uint32    `json:"credit"`
	Unsettled int64     `json:"unsettled"`
	Events    int64     `json:"events"`
	Bytes     int64     `json:"bytes"`
	Since     time.Time `json:"since"`
}

func (v *visit) links() (*answer, error) {
	list, text := []linkJSON{}, []string{}
	for _, l := range v.space.Links() {
		list = append(list, linkOf(&l))
		text = append(text, kit.LinkText(l))
	}
	return &answer{body: map[string]any{"links": list}, text: strings.Join(text, "\n")}, nil
}

func linkOf(l *hub.LinkState) linkJSON {
	out := linkJSON{
		ID: l.ID, Kind: l.Kind.String(), Hub: l.Hub, Group: l.Group, Client: l.Client, Name: l.Name, Credit: l.Credit,
		Unsettled: l.Unsettled, Events: l.Records, Bytes: l.Bytes, Since: l.Since.UTC(),
	}
	if l.Partition >= 0 {
		out.Partition = &l.Partition
	}
	if l.HasEpoch {
		out.Epoch = &l.Epoch
	}
	return out
}
