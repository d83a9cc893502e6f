package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/hub"
	"github.com/evhub-dev/evhub/internal/kit"
)

// hubJSON is a hub as it is shown.
type hubJSON struct {
	Hub              string          `json:"hub"`
	Created          time.Time       `json:"created"`
	Groups           []string        `json:"groups"`
	ConnectionString string          `json:"connectionString,omitempty"`
	Partitions       []partitionJSON `json:"partitions"`
}

// partitionJSON has sequence numbers: of the first event that is kept, and of the next that will come. They are equal if there is none.
type partitionJSON struct {
	Partition string `json:"partition"`
	First     int64  `json:"first"`
	Next      int64  `json:"next"`
}

func (v *visit) hubOf(h *hub.Hub, endpoint string) (hubJSON, string) {
	out := hubJSON{Hub: h.Name(), Created: h.Created(), Groups: h.Groups(), ConnectionString: v.connection(endpoint, h.Name())}
	for i := range h.PartitionCount() {
		at := h.PartitionAt(i).State()
		out.Partitions = append(out.Partitions, partitionJSON{h.PartitionAt(i).ID(), at.First, at.Next.Seq})
	}
	return out, fmt.Sprintf("%s: %d partition(s), groups %s", h.Name(), h.PartitionCount(), strings.Join(out.Groups, ", "))
}

func (v *visit) listHubs() (*answer, error) {
	endpoint, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	list, lines := []hubJSON{}, []string{}
	for _, h := range v.space.Namespace().Hubs() {
		shown, text := v.hubOf(h, endpoint)
		list, lines = append(list, shown), append(lines, text)
	}
	return &answer{body: map[string]any{"hubs": list}, text: strings.Join(lines, "\n")}, nil
}

// hub finds the hub that the path names.
func (v *visit) hub() (*hub.Hub, error) { return v.space.Hub(v.r.PathValue("hub")) }

func (v *visit) showHub() (*answer, error) {
	endpoint, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	h, err := v.hub()
	if err != nil {
		return nil, err
	}
	shown, text := v.hubOf(h, endpoint)
	return &answer{body: shown, text: text}, nil
}

// putHub makes the hub, and is content with one that is there if it has what is asked for.
func (v *visit) putHub() (*answer, error) {
	data, err := v.body(bodyBytesMax)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	spec, err := kit.ParseHub(v.r.PathValue("hub"), data)
	if err != nil {
		return nil, err
	}
	endpoint, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	status := http.StatusCreated
	h, err := v.space.Namespace().CreateHub(hub.Spec{Name: spec.Name, Partitions: spec.Partitions, Groups: spec.Groups, Retention: spec.Retention})
	if hub.KindOf(err) == hub.Exists {
		status = http.StatusOK
		if h, err = v.hub(); err == nil {
			err = differs(h, spec)
		}
	}
	if err != nil {
		return nil, err
	}
	shown, text := v.hubOf(h, endpoint)
	return &answer{status: status, body: shown, text: text}, nil
}

func differs(h *hub.Hub, spec kit.HubSpec) error {
	if h.PartitionCount() != spec.Partitions {
		return refuse(taken, "the hub '%s' is there with %d partition(s), and their number never changes; delete it first to have %d",
			h.Name(), h.PartitionCount(), spec.Partitions)
	}
	for _, group := range spec.Groups {
		if !h.HasGroup(group) {
			return refuse(taken, "the hub '%s' is there without the group '%s'; add it with PUT groups/%s", h.Name(), clip(group), clip(group))
		}
	}
	return nil
}

func (v *visit) deleteHub() (*answer, error) {
	h, err := v.hub()
	if err != nil {
		return nil, err
	}
	if err := v.space.Namespace().DeleteHub(h.Name()); err != nil {
		return nil, err
	}
	return &answer{body: map[string]any{"ok": true, "hub": h.Name()}}, nil
}

// putGroup is content with a group that is there.
func (v *visit) putGroup() (*answer, error) {
	h, err := v.hub()
	if err != nil {
		return nil, err
	}
	name, status := v.r.PathValue("group"), http.StatusCreated
	if err := h.CreateGroup(name); hub.KindOf(err) == hub.Exists {
		status = http.StatusOK
	} else if err != nil {
		return nil, err
	}
	return &answer{status: status, body: map[string]any{"hub": h.Name(), "groups": h.Groups()}, text: strings.Join(h.Groups(), ", ")}, nil
}

func (v *visit) deleteGroup() (*answer, error) {
	h, err := v.hub()
	if err != nil {
		return nil, err
	}
	if err := h.DeleteGroup(v.r.PathValue("group")); err != nil {
		return nil, err
	}
	return &answer{body: map[string]any{"hub": h.Name(), "groups": h.Groups()}, text: strings.Join(h.Groups(), ", ")}, nil
}
