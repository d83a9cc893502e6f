package config

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/setting"
)

// Parse checks the content of a file that is called name in problems. Paths in ${file:PATH} are relative to the directory of name. The
// error is Errors.
func Parse(name string, data []byte) (*Config, error) {
	return parse(name, data, fileSecrets(name))
}

func parse(name string, data []byte, s secrets) (*Config, error) {
	err := setting.CheckLength(data, fileBytesMax)
	var src []byte
	if err == nil {
		src, err = setting.Text(data) // columns count as editors count them, without a mark
	}
	if err == nil && len(bytes.TrimSpace(src)) == 0 {
		err = errors.New("is empty; it needs UserConfig or Evhub")
	}
	if err != nil {
		return nil, Errors{{File: name, Text: err.Error()}}
	}
	r := &reader{secrets: s}
	c := &Config{LogConsole: true}
	if root, ok := r.parseTree(src); ok {
		r.root(root, c)
	}
	if problems := r.errors.problems(name, src); problems != nil {
		return nil, Errors(problems)
	}
	c.Warnings = r.warnings.problems(name, src)
	return c, nil
}

func (r *reader) root(n node, c *Config) {
	obj, ok := r.object(n, &r.warnings, "UserConfig", "Evhub", "$schema")
	if !ok {
		return
	}
	evhub, ours := obj.members["Evhub"]
	if user, ok := obj.members["UserConfig"]; ok {
		r.userConfig(user, c)
	} else if ours {
		c.Namespaces = []Namespace{{Name: DefaultNamespace}}
	} else {
		r.need(obj, "UserConfig", "the official file begins with it")
	}
	if ours {
		r.evhub(evhub, c)
	}
}

func (r *reader) userConfig(n node, c *Config) {
	obj, ok := r.object(n, &r.warnings, "NamespaceConfig", "LoggingConfig")
	if !ok {
		return
	}
	if n, ok := r.need(obj, "NamespaceConfig", "it lists the namespace with its hubs"); ok {
		r.namespaces(n, c)
	}
	if n, ok := obj.members["LoggingConfig"]; ok {
		r.logging(n, c)
	}
}

func (r *reader) logging(n node, c *Config) {
	obj, ok := r.object(n, &r.warnings, "Type")
	if !ok {
		return
	}
	n, ok = r.need(obj, "Type", "it is File, Console or both")
	if !ok {
		return
	}
	text, ok := r.str(n)
	if !ok {
		return
	}
	c.LogConsole = false
	for name := range strings.SplitSeq(text, ",") {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "file":
			c.LogFile = true
		case "console":
			c.LogConsole = true
		default:
			r.fail(n, `%.40q is not a kind of log; use "File", "Console" or "File,Console"`, text)
			return
		}
	}
}

func (r *reader) namespaces(n node, c *Config) {
	seen := make(map[string]bool)
	elements, ok := r.list(n)
	if ok && len(elements) == 0 {
		r.fail(n, "is empty; one namespace is needed")
	}
	for i := range elements {
		ns, nameAt := r.namespace(n.item(elements, i))
		if folded := strings.ToLower(ns.Name); seen[folded] && folded != "" {
			r.fail(nameAt, "there are two namespaces %q", ns.Name)
		} else {
			seen[folded] = true
		}
		c.Namespaces = append(c.Namespaces, ns)
	}
}

func (r *reader) namespace(n node) (ns Namespace, nameAt node) {
	obj, ok := r.object(n, &r.warnings, "Type", "Name", "Entities")
	if !ok {
		return Namespace{}, n
	}
	if n, ok := obj.members["Type"]; ok {
		if s, ok := r.str(n); ok && !strings.EqualFold(s, "EventHub") {
			r.fail(n, `%.40q is not "EventHub", the only type there is`, s)
		}
	}
	nameAt, ok = r.need(obj, "Name", "the official emulator calls it emulatorNs1")
	if ok && r.name(nameAt, "namespace") != "" {
		ns.Name = literalString(nameAt.value)
	}
	if n, ok := r.need(obj, "Entities", "it lists the hubs, and may be empty"); ok {
		ns.Hubs = r.hubs(n)
	}
	return ns, nameAt
}

// name gives a name in lower case, "" after a report.
func (r *reader) name(n node, what string) string {
	s, ok := r.str(n)
	if !ok {
		return ""
	}
	folded, err := checkName(what, s)
	if err != nil {
		r.fail(n, "%s", err)
	}
	return folded
}

func (r *reader) hubs(n node) []Hub {
	var hubs []Hub
	seen := make(map[string]bool)
	elements, _ := r.list(n)
	for i := range elements {
		obj, ok := r.object(n.item(elements, i), &r.warnings, "Name", "PartitionCount", "ConsumerGroups", "Retention")
		if !ok {
			continue
		}
		h := r.hub(obj)
		if seen[h.Name] && h.Name != "" {
			r.fail(obj.members["Name"], "there are two hubs %q", h.Name)
		}
		seen[h.Name] = true
		hubs = append(hubs, h)
	}
	return hubs
}

func (r *reader) hub(obj object) (h Hub) {
	if n, ok := r.need(obj, "Name", "every hub needs one"); ok {
		h.Name = r.name(n, "hub")
	}
	if n, ok := r.need(obj, "PartitionCount", "every hub needs one, 1 or more"); ok {
		h.Partitions = int(r.whole(n, 1, partitionsMax))
	}
	if n, ok := obj.members["ConsumerGroups"]; ok {
		h.Groups = r.groups(n)
	}
	if n, ok := obj.members["Retention"]; ok {
		h.Retention = r.duration(n)
	}
	return h
}

func (r *reader) groups(n node) []string {
	var groups []string
	seen := make(map[string]bool)
	elements, _ := r.list(n)
	for i := range elements {
		obj, ok := r.object(n.item(elements, i), &r.warnings, "Name")
		if !ok {
			continue
		}
		at, ok := r.need(obj, "Name", "every group needs one")
		if !ok || at.value.Kind() == '"' && isDefaultGroup(literalString(at.value)) {
			continue
		}
		group := r.name(at, "group")
		if group == "" {
			continue
		}
		if seen[group] {
			r.fail(at, "there are two groups %q", group)
			continue
		}
		seen[group] = true
		groups = append(groups, group)
	}
	return groups
}

func (r *reader) whole(n node, low, high int64) int64 {
	s, ok := r.scalar(n)
	if !ok {
		return 0
	}
	v, err := parseWhole(s, low, high)
	if err != nil {
		r.fail(n, "%s", err)
	}
	return v
}

func (r *reader) bytes(n node, low, high int64) int64 {
	s, ok := r.scalar(n)
	if !ok {
		return 0
	}
	v, err := parseBytes(s, low, high)
	if err != nil {
		r.fail(n, "%s", err)
	}
	return v
}

func (r *reader) duration(n node) time.Duration {
	s, ok := r.str(n)
	if !ok {
		return 0
	}
	d, err := parseDuration(s)
	if err != nil {
		r.fail(n, "%s", err)
	}
	return d
}
