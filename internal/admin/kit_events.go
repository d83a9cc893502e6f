package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/kit"
)

// listMax is how many events are listed at a time.
const listMax = 1000

func (v *visit) expect() (*answer, error) {
	if _, err := v.hub(); err != nil {
		return nil, err
	}
	data, err := v.body(bodyBytesMax)
	if err != nil {
		return nil, err
	}
	request, err := kit.ParseExpect(data)
	if err != nil {
		return nil, err
	}
	return v.await(request)
}

// awaitEvents waits for count events. A count of 0 lists what is there.
func (v *visit) awaitEvents() (*answer, error) {
	if _, err := v.hub(); err != nil {
		return nil, err
	}
	request, err := kit.ParseQuery(url.Values(v.query))
	if err != nil {
		return nil, err
	}
	if request.Expect[0].Min == 0 {
		return v.list(request)
	}
	return v.await(request)
}

func (v *visit) await(request *kit.ExpectRequest) (*answer, error) {
	since, err := v.space.KeptMark(request.Since)
	if err != nil {
		return nil, err
	}
	var result *kit.Result
	err = v.wait(request.Timeout, func(ctx context.Context) (err error) {
		result, err = v.space.Expect(ctx, v.r.PathValue("hub"), since, request.Request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return v.result(result), nil
}

// list gives the oldest events after the mark that match, of those that are there now.
func (v *visit) list(request *kit.ExpectRequest) (*answer, error) {
	since, err := v.space.KeptMark(request.Since)
	if err != nil {
		return nil, err
	}
	result, err := v.space.List(v.r.PathValue("hub"), since, request.Expect[0].Where, listMax)
	if err != nil {
		return nil, err
	}
	return v.result(result), nil
}

// result keeps the mark behind the last event that was looked at, so that the next call can go on from there.
func (v *visit) result(r *kit.Result) *answer {
	r.Mark = v.space.KeepMark(r.Mark)
	if !wantsText(v.r) { // a line for each event would hold up who waits for JSON
		return &answer{body: r}
	}
	lines := []string{fmt.Sprintf("ok: %d event(s) of %d seen, up to %s", len(r.Events), r.Seen, r.Mark.Name)}
	if r.More {
		lines[0] += "; there may be more"
	}
	for _, e := range r.Events {
		lines = append(lines, fmt.Sprintf("  %s/%d %.160q", e.Partition, e.SequenceNumber, e.Body))
	}
	return &answer{body: r, text: strings.Join(lines, "\n")}
}

// placeJSON is where an event was stored.
type placeJSON struct {
	Partition string `json:"partition"`
	Sequence  int64  `json:"sequence"`
	Offset    string `json:"offset"`
}

func (v *visit) publish() (*answer, error) {
	if _, err := v.hub(); err != nil {
		return nil, err
	}
	data, err := v.body(publishBytesMax)
	if err != nil {
		return nil, err
	}
	events, err := kit.ParseEvents(data)
	if err != nil {
		return nil, err
	}
	stored, err := v.space.Publish(v.r.Context(), v.r.PathValue("hub"), events...)
	if err != nil {
		return nil, err
	}
	places, lines := []placeJSON{}, []string{}
	for _, e := range stored {
		places = append(places, placeJSON{e.Partition, e.SequenceNumber, e.Offset})
		lines = append(lines, fmt.Sprintf("%s/%d", e.Partition, e.SequenceNumber))
	}
	return &answer{status: http.StatusCreated, body: map[string]any{"events": places}, text: strings.Join(lines, "\n")}, nil
}

// awaitReaders waits until so many readers are attached and have credit.
func (v *visit) awaitReaders() (*answer, error) {
	count, err := v.query.count("count", 1)
	if err != nil {
		return nil, err
	}
	timeout, err := v.query.timeout(timeoutDefault)
	if err != nil {
		return nil, err
	}
	group := "$Default"
	if v.query.has("group") {
		group = v.query.text("group")
	}
	there, start := 0, time.Now()
	err = v.wait(timeout, func(ctx context.Context) (err error) {
		there, err = v.space.WaitReaders(ctx, v.r.PathValue("hub"), group, count)
		return late(ctx, err, map[string]any{"readers": there, "want": count})
	})
	if err != nil {
		return nil, err
	}
	body := map[string]any{"ok": true, "readers": there, "waitedMs": milliseconds(time.Since(start))}
	return &answer{body: body, text: fmt.Sprintf("ok: %d reader(s)", there)}, nil
}

// late makes an expectation that failed of an error that says that time ran out.
func late(ctx context.Context, err error, more map[string]any) error {
	if err == nil || ctx.Err() != context.DeadlineExceeded {
		return err
	}
	text, ran := strings.CutSuffix(err.Error(), ": "+ctx.Err().Error())
	if !ran {
		return err
	}
	return unmetWith(text, text, more)
}
