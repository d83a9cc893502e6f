package kit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// SpaceSpec describes a new space.
type SpaceSpec struct {
	Name string // of the namespace and of the policy, in lower case; "": a name is made up
	Hubs []HubSpec
	Key  string // of the policy; "": one is made up

	// Seed chooses where sequence numbers and offsets begin, which partition the first event without key goes to, and what faults draw.
	// 0: all begin at 0, as in a new hub of the service.
	Seed uint64

	// TTL is how long the space lives if nobody deletes it, by the machine's clock; 0: as long as the broker.
	TTL time.Duration
}

// HubSpec describes a hub of a new space.
type HubSpec struct {
	Name       string
	Partitions int
	Groups     []string      // besides $default
	Retention  time.Duration // as hub.Spec has it
}

// Space is what belongs to one test: a namespace with its hubs, faults and marks. It is safe for concurrent use.
type Space struct {
	kit   *Kit
	ns    *hub.Namespace
	name  string
	key   string // of the policy; "" if the space has none of its own
	seed  uint64
	owned bool // the namespace goes with the space

	// Guarded by kit.mu.
	expiry  *time.Timer // nil without a TTL
	gone    bool
	faults  []*Fault // all that were not removed, in the order they came
	live    []*Fault // those that may still fire
	nextID  int      // of faults
	marks   keptMarks
	latest  *snapshot // of the last mark that was taken
	traced  int       // how many want the timeline
	entries ring
	turns   map[string]*turns // by hub, in lower case; made on first use
}

// Create makes a space: its namespace, hubs and policy. Kinds: Invalid, Exists, and those of the hall. What was begun is taken back if it
// cannot be finished.
func (k *Kit) Create(spec SpaceSpec) (*Space, error) {
	s := &Space{kit: k, name: strings.ToLower(spec.Name), key: spec.Key, seed: spec.Seed, owned: true}
	if s.name == "" {
		s.name = "s" + randomHex(8)
	}
	ns, err := k.hall.CreateNamespace(s.name)
	if err != nil {
		return nil, err
	}
	s.ns = ns
	if err := s.fill(spec.Hubs); err != nil {
		return nil, errors.Join(err, k.hall.DeleteNamespace(s.name))
	}
	s = k.add(s)
	if spec.TTL > 0 {
		k.mu.Lock()
		s.expiry = time.AfterFunc(spec.TTL, func() { s.Delete() }) // if the hall cannot delete it now there is nobody to tell
		k.mu.Unlock()
	}
	return s, nil
}

// Open makes a space of a namespace that is there, with its hubs and policies as they are. Deleting the space leaves them.
func (k *Kit) Open(namespace string) (*Space, error) {
	ns := k.hall.Namespace(namespace)
	if ns == nil {
		return nil, &hub.Error{Kind: hub.NotFound, Text: fmt.Sprintf("The namespace '%.64s' could not be found.", namespace)}
	}
	if s, err := k.Space(ns.Name()); err == nil {
		return s, nil
	}
	return k.add(&Space{kit: k, ns: ns, name: ns.Name()}), nil
}

// add registers the space with its first mark, unless its namespace has one already.
func (k *Kit) add(s *Space) *Space {
	s.KeepMark(s.Mark())
	k.mu.Lock()
	defer k.mu.Unlock()
	i, there := k.findLocked(s.name)
	if there {
		return k.spaces[i]
	}
	k.spaces = slices.Insert(k.spaces, i, s)
	return s
}

func (s *Space) fill(hubs []HubSpec) error {
	for i, h := range hubs {
		spec := hub.Spec{Name: h.Name, Partitions: h.Partitions, Groups: h.Groups, Retention: h.Retention}
		if s.seed != 0 && h.Partitions > 0 {
			draw := mathrand.New(mathrand.NewPCG(s.seed, uint64(i)))
			spec.First = eventlog.Position{Seq: draw.Int64N(1 << 20), Offset: 8 * draw.Int64N(1<<30)}
			spec.FirstPartition = draw.IntN(h.Partitions)
		}
		if _, err := s.ns.CreateHub(spec); err != nil {
			return err
		}
	}
	if s.kit.policies == nil {
		return nil
	}
	if s.key == "" {
		s.key = randomKey()
	}
	return s.kit.policies.Add(auth.Policy{Name: s.name, Key: s.key, Rights: auth.Manage, Namespace: s.name})
}

func randomHex(digits int) string {
	b := make([]byte, digits/2)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func randomKey() string {
	var b [32]byte
	rand.Read(b[:])
	var text [(len(b) + 2) / 3 * 4]byte
	base64.StdEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// Name is the namespace's name, in lower case.
func (s *Space) Name() string { return s.name }

// Seed is what the space was created with.
func (s *Space) Seed() uint64 { return s.seed }

// Namespace is where the space's hubs are.
func (s *Space) Namespace() *hub.Namespace { return s.ns }

// Key is the key of the space's policy, whose name is the space's; "" if it has none of its own.
func (s *Space) Key() string { return s.key }

// Hub finds a hub of the space. Kind: NotFound, with a Hint about what there is.
func (s *Space) Hub(name string) (*hub.Hub, error) { return s.ns.Hub(name) }

// Verify says what a finished test has left behind, a sentence each: faults that have not done what they were to, and links that are still
// open.
func (s *Space) Verify() []string {
	var problems []string
	for _, f := range s.Faults() {
		if text := f.Shortfall(); text != "" {
			problems = append(problems, text)
		}
	}
	for _, l := range s.Links() {
		problems = append(problems, LinkText(l)+" is still open")
	}
	return problems
}

// Delete ends the space: its faults, its policy and, if Create made it, its namespace, whose links are cut. Deleting twice is allowed. The
// error is the hall's.
func (s *Space) Delete() error {
	k := s.kit
	k.mu.Lock()
	first := !s.gone
	s.gone = true
	if first {
		if s.expiry != nil {
			s.expiry.Stop()
		}
		for _, f := range s.faults {
			f.over = true
			f.wakeLocked()
		}
		s.faults, s.live, s.marks, s.latest, s.traced, s.entries, s.turns = nil, nil, keptMarks{}, nil, 0, ring{}, nil
		k.spaces = slices.DeleteFunc(k.spaces, func(other *Space) bool { return other == s })
		k.installLocked()
	}
	k.mu.Unlock()
	if !first || !s.owned {
		return nil
	}
	if k.policies != nil {
		k.policies.RemoveNamespace(s.name)
	}
	return k.hall.DeleteNamespace(s.name)
}
