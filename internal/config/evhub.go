package config

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/auth"
)

func (r *reader) evhub(n node, c *Config) {
	obj, ok := r.object(n, &r.errors, "Policies", "Listeners", "Retention", "Memory", "Limits")
	if !ok {
		return
	}
	e := &c.Evhub
	if n, ok := obj.members["Policies"]; ok {
		r.policies(n, c)
	}
	if n, ok := obj.members["Listeners"]; ok {
		r.listeners(n, &e.Listeners)
	}
	if n, ok := obj.members["Retention"]; ok {
		e.Retention = r.duration(n)
	}
	if n, ok := obj.members["Memory"]; ok {
		e.Memory = r.bytes(n, 1<<20, 1<<50)
	}
	if n, ok := obj.members["Limits"]; ok {
		r.limits(n, &e.Limits)
	}
}

func (r *reader) listeners(n node, l *Listeners) {
	obj, ok := r.object(n, &r.errors, "AMQP", "API", "Admin")
	if !ok {
		return
	}
	for name, into := range map[string]*[]string{"AMQP": &l.AMQP, "API": &l.API, "Admin": &l.Admin} {
		if n, ok := obj.members[name]; ok {
			r.strings(n, func(n node, address string) {
				if err := checkAddress(address); err != nil {
					r.fail(n, "%s", err)
				}
				*into = append(*into, address)
			})
		}
	}
}

func (r *reader) limits(n node, l *Limits) {
	obj, ok := r.object(n, &r.errors, "EventBytesMax", "ReadersMax", "IdleTimeout")
	if !ok {
		return
	}
	if n, ok := obj.members["EventBytesMax"]; ok {
		l.EventBytesMax = r.bytes(n, 1<<10, 1<<30)
	}
	if n, ok := obj.members["ReadersMax"]; ok {
		l.ReadersMax = int(r.whole(n, 1, 10_000))
	}
	if n, ok := obj.members["IdleTimeout"]; ok {
		l.IdleTimeout = r.idleTimeout(n)
	}
}

// idleTimeout keeps to what clients accept: .NET refuses less than 5 s, and AMQP tells it in 32 bits of milliseconds.
func (r *reader) idleTimeout(n node) time.Duration {
	d := r.duration(n)
	if d != 0 && (d < 5*time.Second || d > 24*time.Hour) {
		r.fail(n, "%s is not between 5s and 24h", d)
	}
	return d
}

func (r *reader) policies(n node, c *Config) {
	var set auth.Policies // knows what policies may not have in common
	places := newPlaces(c)
	elements, ok := r.list(n)
	if ok && len(elements) == 0 {
		r.fail(n, "is empty; list a policy, or leave the key out to have the public development keys")
	}
	for i := range elements {
		item, before := n.item(elements, i), len(r.errors.found)
		p := r.policy(item, places)
		if len(r.errors.found) > before || r.errors.full() {
			continue
		}
		if err := set.Add(p); err != nil {
			r.fail(item, "%s", err)
		}
		c.Evhub.Policies = append(c.Evhub.Policies, p)
	}
}

func (r *reader) policy(n node, places places) (p auth.Policy) {
	obj, ok := r.object(n, &r.errors, "Name", "Key", "SecondaryKey", "Rights", "Namespace", "Hub")
	if !ok {
		return auth.Policy{}
	}
	if n, ok := r.need(obj, "Name", "clients give it as SharedAccessKeyName"); ok && r.name(n, "policy") != "" {
		p.Name = literalString(n.value)
	}
	if n, ok := r.need(obj, "Key", "clients give it as SharedAccessKey"); ok {
		p.Key = r.key(n)
	}
	if n, ok := obj.members["SecondaryKey"]; ok {
		p.SecondaryKey = r.key(n)
	}
	if n, ok := r.need(obj, "Rights", "give Send, Listen or Manage"); ok {
		r.strings(n, func(n node, s string) { p.Rights |= r.rights(n, s) })
	}
	p.Namespace = r.policyNamespace(obj, places)
	if n, ok := obj.members["Hub"]; ok {
		p.Hub = r.name(n, "hub")
		// Not an error: hubs can be made later.
		if p.Hub != "" && p.Namespace != "" && !places.hubs[hubPlace{p.Namespace, p.Hub}] {
			r.warnings.add(n.offset, n.path, fmt.Sprintf("there is no hub %q in this file; the policy waits for one", p.Hub))
		}
	}
	return p
}

func (r *reader) rights(n node, s string) auth.Right {
	rights, err := auth.ParseRights(s)
	if err != nil {
		r.fail(n, "%s", err)
	}
	return rights
}

// key never puts what it read into a report.
func (r *reader) key(n node) string {
	s, ok := r.str(n)
	if !ok {
		return ""
	}
	key, err := r.secrets.resolve(s)
	if err != nil {
		r.fail(n, "%s", err)
	} else if count := utf8.RuneCountInString(key); count < keyCharsMin {
		r.fail(n, "needs %d characters or more, and has %d", keyCharsMin, count)
	}
	return key
}

// places is what the policies of a file may point to.
type places struct {
	names   []string          // of namespaces, as written
	spelled map[string]string // namespaces by their names in lower case
	hubs    map[hubPlace]bool
}

type hubPlace struct{ namespace, hub string }

func newPlaces(c *Config) places {
	p := places{spelled: make(map[string]string), hubs: make(map[hubPlace]bool)}
	for _, ns := range c.Namespaces {
		if ns.Name == "" { // refused already
			continue
		}
		p.names = append(p.names, ns.Name)
		p.spelled[strings.ToLower(ns.Name)] = ns.Name
		for _, h := range ns.Hubs {
			p.hubs[hubPlace{ns.Name, h.Name}] = true
		}
	}
	return p
}

// list names a few namespaces.
func (p places) list() string {
	if few := 5; len(p.names) > few {
		return strings.Join(p.names[:few], ", ") + " and others"
	}
	return strings.Join(p.names, ", ")
}

// policyNamespace may be left out where there is one namespace only.
func (r *reader) policyNamespace(policy object, places places) string {
	if len(places.names) == 0 {
		return ""
	}
	n, given := policy.members["Namespace"]
	if !given && len(places.names) == 1 {
		return places.names[0]
	}
	if !given {
		r.need(policy, "Namespace", "there are several: "+places.list())
		return ""
	}
	s, ok := r.str(n)
	if !ok {
		return ""
	}
	name, ok := places.spelled[strings.ToLower(s)]
	if !ok {
		r.fail(n, "there is no namespace %.80q; there is %s", s, places.list())
	}
	return name
}
