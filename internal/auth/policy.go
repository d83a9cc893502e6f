package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// The development credentials are public: the first is the official emulator's, the second the well-known account of Azurite, which sample
// code and container modules send as policy and key.
const (
	RootKeyName        = "RootManageSharedAccessKey"
	RootKey            = "SAS_KEY_VALUE"
	AzuriteAccountName = "devstoreaccount1"
	AzuriteAccountKey  = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// DevelopmentPolicies gives the two public credentials all rights in a namespace. They open it to anyone who can reach it.
func DevelopmentPolicies(namespace string) []Policy {
	return []Policy{
		{Name: RootKeyName, Key: RootKey, Rights: Manage, Namespace: namespace},
		{Name: AzuriteAccountName, Key: AzuriteAccountKey, Rights: Manage, Namespace: namespace},
	}
}

// Policy is a named key with rights: what the service calls a shared access policy. Printing, logging or marshalling one hides its keys, so
// what must keep the keys has to copy the fields.
type Policy struct {
	Name         string // matched exactly
	Key          string
	SecondaryKey string // "" for none; as good as Key, so that keys can be changed without a gap
	Rights       Right
	Namespace    string
	Hub          string // "": the whole namespace
}

// String hides the keys.
func (p Policy) String() string {
	return fmt.Sprintf("policy %s of %s (%s) key ***", p.Name, strings.TrimSuffix(p.Namespace+"/"+p.Hub, "/"), p.Rights)
}

// GoString keeps the keys out of %#v.
func (p Policy) GoString() string { return p.String() }

// LogValue hides the keys.
func (p Policy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalJSON hides the keys.
func (p Policy) MarshalJSON() ([]byte, error) {
	shown := struct {
		Name, Key    string
		SecondaryKey string `json:",omitempty"`
		Rights       string
		Namespace    string
		Hub          string `json:",omitempty"`
	}{Name: p.Name, Key: "***", Rights: p.Rights.String(), Namespace: p.Namespace, Hub: p.Hub}
	if p.SecondaryKey != "" {
		shown.SecondaryKey = "***"
	}
	return json.Marshal(shown)
}

func (p Policy) keys() []string {
	if p.SecondaryKey == "" {
		return []string{p.Key}
	}
	return []string{p.Key, p.SecondaryKey}
}

func (p Policy) hasKey(key string) bool { return key != "" && (key == p.Key || key == p.SecondaryKey) }

func (p Policy) check() error {
	switch {
	case p.Name == "":
		return errors.New("the policy has no name")
	case p.Namespace == "":
		return fmt.Errorf("policy %q has no namespace", p.Name)
	case p.Key == "":
		return fmt.Errorf("policy %q has no key", p.Name)
	case p.Rights == 0:
		return fmt.Errorf("policy %q has no rights; give it Send, Listen or Manage", p.Name)
	}
	for _, key := range p.keys() {
		if strings.Contains(key, ";") || strings.TrimSpace(key) != key {
			return fmt.Errorf("a key of policy %q has a semicolon, or a space at an end, which no connection string can carry", p.Name)
		}
	}
	return nil
}

// Policies authenticates SAS tokens and plain keys against a set of policies that may change at any time. Grants already given stay as they
// are. The zero value is an empty set. It is safe for concurrent use.
//
// Policies of different namespaces or hubs may share a name, but never a key along with it: a credential belongs to one policy.
type Policies struct {
	mu   sync.RWMutex
	list []Policy // by name; guarded by mu; it is replaced, never changed, so readers use it without mu
}

// NewPolicies makes a set. The error is that of Add.
func NewPolicies(list ...Policy) (*Policies, error) {
	ps := new(Policies)
	for _, p := range list {
		if err := ps.Add(p); err != nil {
			return nil, err
		}
	}
	return ps, nil
}

// Add takes a policy in. It refuses one without name, namespace, key or rights, one that is there already, and one that shares name and key
// with another.
func (ps *Policies) Add(p Policy) error {
	if err := p.check(); err != nil {
		return err
	}
	p.Hub = NormalizePath(p.Hub)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, other := range named(ps.list, p.Name) {
		if other.Namespace == p.Namespace && other.Hub == p.Hub {
			return fmt.Errorf("there are two policies %q in the same place", p.Name)
		}
		if other.hasKey(p.Key) || other.hasKey(p.SecondaryKey) {
			return fmt.Errorf("two policies %q share a key; a credential must belong to one of them", p.Name)
		}
	}
	ps.list = slices.Insert(slices.Clip(ps.list), after(ps.list, p.Name), p)
	return nil
}

// named gives the policies of a name out of a list by name.
func named(list []Policy, name string) []Policy {
	from, _ := slices.BinarySearchFunc(list, name, func(p Policy, name string) int { return strings.Compare(p.Name, name) })
	return list[from:after(list, name)]
}

// after gives the place behind the last policy of a name.
func after(list []Policy, name string) int {
	return sort.Search(len(list), func(i int) bool { return list[i].Name > name })
}

// Remove takes out one policy and tells whether it was there.
func (ps *Policies) Remove(namespace, hub, name string) bool {
	hub = NormalizePath(hub)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.removeLocked(func(p Policy) bool { return p.Name == name && p.Namespace == namespace && p.Hub == hub })
}

// RemoveNamespace takes out all policies of a namespace.
func (ps *Policies) RemoveNamespace(namespace string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.removeLocked(func(p Policy) bool { return p.Namespace == namespace })
}

func (ps *Policies) removeLocked(del func(Policy) bool) bool {
	kept := slices.DeleteFunc(slices.Clone(ps.list), del)
	removed := len(kept) < len(ps.list)
	ps.list = kept
	return removed
}

// Authenticate checks SAS tokens, whatever kind they are called, and for KindPlain a policy's name (audience) and key (token), which give
// all that the policy has. A SAS token must end after now, without allowance for clocks that differ, and its resource must cover the
// audience. A policy of one hub gives that hub even to a token for the whole namespace.
func (ps *Policies) Authenticate(kind Kind, token, audience string, now time.Time) (Grant, error) {
	switch {
	case kind == KindPlain:
		return ps.plain(audience, token)
	case kind == KindSAS || IsSAS(token):
		return ps.sas(token, audience, now)
	}
	return Grant{}, &Error{Reason: Unsupported, Text: "policies take SAS tokens, or name and key; this is neither"}
}

func (ps *Policies) plain(name, key string) (Grant, error) {
	p, err := ps.find(name, func(known string) bool { return sameKey(known, key) })
	if err != nil {
		return Grant{}, err
	}
	return p.grant(p.Hub, time.Time{}), nil
}

func (ps *Policies) sas(token, audience string, now time.Time) (Grant, error) {
	t, err := ParseSAS(token)
	if err != nil {
		return Grant{}, err
	}
	p, err := ps.find(t.KeyName, t.SignedBy)
	if err != nil {
		return Grant{}, err
	}
	if !t.Expires.After(now) {
		text := fmt.Sprintf("the token of policy %.64q expired at %s", p.Name, t.Expires.Format("2006-01-02 15:04:05Z"))
		return Grant{}, &Error{Reason: Expired, Principal: p.Name, Expires: t.Expires, Text: text}
	}
	path, asked := t.path(audience), NormalizePath(audience)
	if covers(path, p.Hub) {
		path = p.Hub
	}
	if !covers(p.Hub, path) || !covers(path, asked) {
		text := fmt.Sprintf("the token of policy %.64q is for %s, not for %s", p.Name, describe(path), describe(asked))
		return Grant{}, &Error{Reason: WrongScope, Principal: p.Name, Text: text}
	}
	return p.grant(path, t.Expires), nil
}

// find gives the policy of that name one of whose keys is the right one; no two of a name share a key.
func (ps *Policies) find(name string, right func(key string) bool) (Policy, error) {
	ps.mu.RLock()
	candidates := named(ps.list, name)
	ps.mu.RUnlock()
	if len(candidates) == 0 {
		return Policy{}, &Error{Reason: UnknownKey, Principal: name, Text: fmt.Sprintf("there is no policy %.64q", name)}
	}
	for _, p := range candidates {
		if slices.ContainsFunc(p.keys(), right) {
			return p, nil
		}
	}
	text := fmt.Sprintf("wrong key for policy %.64q, or the token was changed after it was signed", name)
	return Policy{}, &Error{Reason: BadSignature, Principal: name, Text: text}
}

func (p Policy) grant(path string, expires time.Time) Grant {
	return Grant{Namespace: p.Namespace, Principal: p.Name, Rights: p.Rights, Path: path, Expires: expires}
}

// sameKey hashes first, because comparing in constant time would still show the length.
func sameKey(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func describe(path string) string {
	if path == "" {
		return "the whole namespace"
	}
	return fmt.Sprintf("%.128q", path)
}
