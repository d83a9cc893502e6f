package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/evhub-dev/evhub/internal/kit"
)

func faultText(f *kit.Fault) string {
	state := "over"
	if f.Live() {
		state = "live"
	}
	return fmt.Sprintf("%s, %d hit(s), %s", f, f.Hits(), state)
}

func (v *visit) setFault() (*answer, error) {
	data, err := v.body(bodyBytesMax)
	if err != nil {
		return nil, err
	}
	request, err := kit.ParseFault(data)
	if err != nil {
		return nil, err
	}
	f, err := v.space.Fault(request.On, request.Do)
	if err != nil {
		return nil, err
	}
	if request.Optional {
		f.Optional()
	}
	return &answer{status: http.StatusCreated, body: f, text: faultText(f)}, nil
}

func (v *visit) listFaults() (*answer, error) {
	list, lines := v.space.Faults(), []string{}
	for _, f := range list {
		lines = append(lines, faultText(f))
	}
	return &answer{body: map[string]any{"faults": append([]*kit.Fault{}, list...)}, text: strings.Join(lines, "\n")}, nil
}

// awaitFault shows the fault once it has fired so often.
func (v *visit) awaitFault() (*answer, error) {
	f, err := v.space.FaultNamed(v.r.PathValue("fault"))
	if err != nil {
		return nil, err
	}
	hits, err := v.query.count("hits", 0)
	if err != nil {
		return nil, err
	}
	timeout, err := v.query.timeout(timeoutDefault)
	if err != nil {
		return nil, err
	}
	err = v.wait(timeout, func(ctx context.Context) error {
		err := f.Wait(ctx, hits)
		if err == nil || errors.Is(err, context.Canceled) {
			return err
		}
		text := strings.TrimSuffix(err.Error(), ": "+context.DeadlineExceeded.Error()) // else the fault is over with fewer
		return unmetWith(text, text, map[string]any{"hits": f.Hits(), "want": hits})
	})
	if err != nil {
		return nil, err
	}
	return &answer{body: f, text: faultText(f)}, nil
}

func (v *visit) removeFault() (*answer, error) {
	f, err := v.space.FaultNamed(v.r.PathValue("fault"))
	if err != nil {
		return nil, err
	}
	f.Remove()
	return &answer{body: f, text: faultText(f)}, nil
}
