package notify

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// jsonField is a member of a struct's JSON object, by the rules of encoding/json.
type jsonField struct {
	name      string
	index     []int // through embedded structs
	tagged    bool  // name comes from a tag
	omitEmpty bool
	omitZero  bool
	quoted    bool
}

// jsonFields lists a struct's members in the order of its fields.
func jsonFields(t reflect.Type) []jsonField {
	all := appendFields(nil, t, nil, nil)
	slices.SortStableFunc(all, func(a, b jsonField) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(len(a.index), len(b.index)), trueFirst(a.tagged, b.tagged))
	})
	var fields []jsonField
	for len(all) > 0 {
		same := 1
		for same < len(all) && all[same].name == all[0].name {
			same++
		}
		// The least deep wins, and among these one with a tag. Two that are equal hide each other.
		if same == 1 || len(all[0].index) < len(all[1].index) || all[0].tagged && !all[1].tagged {
			fields = append(fields, all[0])
		}
		all = all[same:]
	}
	slices.SortFunc(fields, func(a, b jsonField) int { return slices.Compare(a.index, b.index) })
	return fields
}

func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// appendFields adds the fields of t, which stands at index within the outermost struct, and those of structs embedded in it. above are
// the structs on the way here: one that embeds itself by a pointer adds nothing further.
func appendFields(all []jsonField, t reflect.Type, index []int, above []reflect.Type) []jsonField {
	if slices.Contains(above, t) {
		return all
	}
	above = append(above[:len(above):len(above)], t)
	for i := range t.NumField() {
		sf := t.Field(i)
		ft := sf.Type
		if ft.Name() == "" && ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		embeds := sf.Anonymous && ft.Kind() == reflect.Struct
		tag := sf.Tag.Get("json")
		if tag == "-" || !sf.IsExported() && !embeds {
			continue
		}
		at := append(index[:len(index):len(index)], i)
		name, options, _ := strings.Cut(tag, ",")
		if !usable(name) {
			name = ""
		}
		if embeds && name == "" {
			all = appendFields(all, ft, at, above)
			continue
		}
		f := jsonField{name: cmp.Or(name, sf.Name), index: at, tagged: name != ""}
		f.options(options, ft)
		all = append(all, f)
	}
	return all
}

func (f *jsonField) options(list string, t reflect.Type) {
	for option := range strings.SplitSeq(list, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		case "string":
			f.quoted = quotable(t)
		}
	}
}

// quotable says whether the option "string" means anything for the type.
func quotable(t reflect.Type) bool {
	if t == durationType || marshals(t) || marshals(reflect.PointerTo(t)) {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64, reflect.String:
		return true
	}
	return false
}

// usable says whether a tag's name counts.
func usable(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return false
		}
	}
	return name != ""
}

// of finds the field's value in a struct, unless it is to be left out.
func (f *jsonField) of(v reflect.Value) (reflect.Value, bool) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, !(f.omitEmpty && isEmpty(v) || f.omitZero && isZero(v))
}

// isEmpty is what the option "omitempty" means.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Bool, reflect.Interface, reflect.Pointer:
		return v.IsZero()
	}
	return (v.CanInt() || v.CanUint() || v.CanFloat()) && v.IsZero()
}

// isZero is what the option "omitzero" means: a type may have its own word on it.
func isZero(v reflect.Value) bool {
	if (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) && v.IsNil() {
		return true
	}
	type zeroer interface{ IsZero() bool }
	if v.CanAddr() {
		if own, ok := v.Addr().Interface().(zeroer); ok {
			return own.IsZero()
		}
	}
	if own, ok := v.Interface().(zeroer); ok {
		return own.IsZero()
	}
	return v.IsZero()
}
