package gatewayfile

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/setting"
)

// decoder reads a tree into structs by their tags. What is wrong is reported and left as it was, and the walk goes on, so that one run tells
// all.
//
//	key   the field's name in the file
//	need  it must be there, not empty; why
//	of    the words that a string may be
//	min, max  bounds, written as in the file
//	as    "path": a path, made absolute
type decoder struct {
	file     string
	places   map[string]place // of what was read, by path
	errors   report
	warnings report
}

func newDecoder(file string) *decoder { return &decoder{file: file, places: make(map[string]place)} }

func (d *decoder) dir() string { return filepath.Dir(d.file) }

func (d *decoder) result(c *Config) (*Config, error) {
	if problems := d.errors.problems(d.file); problems != nil {
		return nil, config.Errors(problems)
	}
	c.Warnings = d.warnings.problems(d.file)
	return c, nil
}

func (d *decoder) fail(n node, format string, args ...any) {
	d.errors.add(n.at, n.path, fmt.Sprintf(format, args...))
}

// decode reads n into what into points to.
func (d *decoder) decode(n node, into any) { d.value(n, reflect.ValueOf(into).Elem(), "") }

// value reads n into v, which is addressable.
func (d *decoder) value(n node, v reflect.Value, tag reflect.StructTag) {
	d.places[n.path] = n.at
	if _, null := n.ast.(*ast.NullNode); null {
		d.fail(n, "has no value; give one, or leave the key out")
		return
	}
	var err error
	switch into := v.Addr().Interface().(type) {
	case *Secret:
		err = set(into, d.secret, n)
	case *netip.Prefix:
		err = set(into, prefixOf, n)
	case *slog.Level:
		err = set(into, levelOf, n)
	case *setting.Bytes:
		err = bounded(into, bytesText, setting.ParseBytes, n, tag)
	case *time.Duration:
		err = bounded(into, durationText, setting.ParseDuration, n, tag)
	case *int:
		err = bounded(into, numberText, parseWhole, n, tag)
	case *float64:
		err = bounded(into, numberText, parseFloat, n, tag)
	default:
		err = d.plain(n, v, tag)
	}
	if err != nil {
		d.fail(n, "%s", err)
	}
}

func set[T any](into *T, read func(node) (T, error), n node) error {
	v, err := read(n)
	if err == nil {
		*into = v
	}
	return err
}

// bounded reads what has an order, and keeps to the bounds of its field.
func bounded[T cmp.Ordered](into *T, text func(node) (string, error), parse func(string) (T, error), n node, tag reflect.StructTag) error {
	s, err := text(n)
	if err != nil {
		return err
	}
	v, err := parse(s)
	if err != nil {
		return err
	}
	if low, ok := tag.Lookup("min"); ok && v < bound(low, parse) {
		return fmt.Errorf("%.40s is less than %s", s, low)
	}
	if high, ok := tag.Lookup("max"); ok && v > bound(high, parse) {
		return fmt.Errorf("%.40s is more than %s", s, high)
	}
	*into = v
	return nil
}

func bound[T any](text string, parse func(string) (T, error)) T {
	v, err := parse(text)
	if err != nil {
		panic("BUG: a field's tag: " + err.Error())
	}
	return v
}

// plain reads the types that Go has names for.
func (d *decoder) plain(n node, v reflect.Value, tag reflect.StructTag) error {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), tag)
		return nil
	case reflect.Struct:
		return d.object(n, v)
	case reflect.Map:
		return d.named(n, v, tag)
	case reflect.Slice:
		return d.list(n, v, tag)
	case reflect.String:
		return d.str(n, v, tag)
	case reflect.Bool:
		return boolean(n, v)
	}
	panic("BUG: no way to read a " + v.Type().String())
}

// object reads a mapping whose keys are the fields of a struct.
func (d *decoder) object(n node, v reflect.Value) error {
	members, ok := n.members()
	if !ok {
		return wrongKind(n, "a mapping")
	}
	fields, known := fieldsOf(v.Type())
	seen := make(map[string]bool)
	for _, m := range members {
		name, at := keyOf(m)
		switch i, ok := fields[name]; {
		case seen[name]:
			d.errors.add(at, n.member(name), "is given twice")
		case ok:
			d.value(node{n.member(name), start(m.Value), m.Value}, v.Field(i), v.Type().Field(i).Tag)
		default:
			d.unknown(at, n, name, known)
		}
		seen[name] = true
	}
	for _, name := range known {
		field := v.Type().Field(fields[name])
		why, needed := field.Tag.Lookup("need")
		switch value := v.Field(fields[name]); {
		case !needed || d.errors.full():
		case !seen[name]:
			d.errors.add(n.at, n.member(name), "is missing; "+why)
		case value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0 || value.Kind() == reflect.Map && value.Len() == 0:
			d.failAt(n.member(name), "is empty; %s", why)
		}
	}
	return nil
}

// fieldsOf gives the fields that a file may set by their keys, and the keys in order.
func fieldsOf(t reflect.Type) (fields map[string]int, known []string) {
	fields = make(map[string]int)
	for i := range t.NumField() {
		if key, ok := t.Field(i).Tag.Lookup("key"); ok {
			fields[key] = i
			known = append(known, key)
		}
	}
	return fields, known
}

func keyOf(m *ast.MappingValueNode) (name string, at place) {
	t := m.Key.GetToken()
	return t.Value, placeOf(t)
}

func (d *decoder) unknown(at place, n node, name string, known []string) {
	text := "is not a known key"
	if guess := d.guess(name, known); guess != "" {
		text += fmt.Sprintf("; did you mean %s?", guess)
	}
	d.errors.add(at, n.member(name), text)
}

// guess takes no time for what nobody will read.
func (d *decoder) guess(name string, candidates []string) string {
	if d.errors.full() {
		return ""
	}
	return setting.Nearest(name, candidates)
}

// named reads a mapping whose keys are names.
func (d *decoder) named(n node, v reflect.Value, tag reflect.StructTag) error {
	members, ok := n.members()
	if !ok {
		return wrongKind(n, "a mapping of names")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(members)))
	for _, m := range members {
		name, at := keyOf(m)
		if v.MapIndex(reflect.ValueOf(name)).IsValid() {
			d.errors.add(at, n.member(name), "is given twice")
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(node{n.member(name), start(m.Value), m.Value}, element, tag)
		d.places[n.member(name)] = at
		v.SetMapIndex(reflect.ValueOf(name), element)
	}
	return nil
}

func (d *decoder) list(n node, v reflect.Value, tag reflect.StructTag) error {
	s, ok := n.ast.(*ast.SequenceNode)
	if !ok {
		return wrongKind(n, "a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, element := range s.Values {
		d.value(node{item(n.path, i), start(element), element}, v.Index(i), tag)
	}
	return nil
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (d *decoder) str(n node, v reflect.Value, tag reflect.StructTag) error {
	s, ok := n.text()
	if !ok {
		return wrongKind(n, "a string")
	}
	if words, ok := tag.Lookup("of"); ok {
		if err := oneOf(s, strings.Fields(words)); err != nil {
			return err
		}
	}
	if tag.Get("as") == "path" && s != "" {
		s = absolute(d.dir(), s)
	}
	v.SetString(s)
	return nil
}

func oneOf(s string, words []string) error {
	if slices.Contains(words, s) {
		return nil
	}
	text := fmt.Sprintf("%.40q is not %s", s, strings.Join(words, ", "))
	if last := len(words) - 1; last > 0 {
		text = fmt.Sprintf("%.40q is not %s or %s", s, strings.Join(words[:last], ", "), words[last])
	}
	if guess := setting.Nearest(s, words); guess != "" && len(words) > 1 {
		text += fmt.Sprintf("; did you mean %s?", guess)
	}
	return errors.New(text)
}

func boolean(n node, v reflect.Value) error {
	b, ok := n.ast.(*ast.BoolNode)
	if !ok {
		return wrongKind(n, "true or false")
	}
	v.SetBool(b.Value)
	return nil
}

func numberText(n node) (string, error) {
	s, ok := n.number()
	if !ok {
		return "", wrongKind(n, "a number")
	}
	return s, nil
}

func bytesText(n node) (string, error) {
	if s, ok := n.number(); ok {
		return s, nil
	}
	s, ok := n.text()
	if !ok {
		return "", wrongKind(n, "a number of bytes")
	}
	return s, nil
}

func durationText(n node) (string, error) {
	if s, ok := n.number(); ok {
		return "", fmt.Errorf(`%.20s has no unit; write a length of time as "%.20ss" or "500ms"`, s, s)
	}
	s, ok := n.text()
	if !ok {
		return "", wrongKind(n, "a length of time")
	}
	return s, nil
}

func prefixOf(n node) (netip.Prefix, error) {
	s, ok := n.text()
	if !ok {
		return netip.Prefix{}, wrongKind(n, "a string")
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, fmt.Errorf("%.80q is neither an address nor a range of addresses like 10.0.0.0/8", s)
	}
	return prefix.Masked(), nil
}

func levelOf(n node) (slog.Level, error) {
	s, ok := n.text()
	if !ok {
		return 0, wrongKind(n, "a string")
	}
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	words := []string{"debug", "info", "warn", "error"}
	if i := slices.Index(words, s); i >= 0 {
		return levels[i], nil
	}
	return 0, oneOf(s, words)
}

func wrongKind(n node, wanted string) error {
	have := n.kind()
	if s, ok := n.number(); ok && wanted == "a string" {
		return fmt.Errorf(`is %s, not %s; write it in quotes: "%.40s"`, have, wanted, s)
	}
	if s, ok := n.text(); ok && wanted == "a list" && len(s) <= 80 {
		return fmt.Errorf("is %s, not %s; write [%q]", have, wanted, s)
	}
	return fmt.Errorf("is %s, not %s", have, wanted)
}
