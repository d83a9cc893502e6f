package evhubtest

import "github.com/evhub-dev/evhub/internal/kit"

// Match is one thing to hold for an event. The functions below make most of them; a test may make its own:
//
//	type Match struct {
//		Name string                  // for messages: what is looked at, and what is wanted there
//		Diff func(Event) []FieldDiff // nil: the event matches. The more differences, the farther it is from what is wanted.
//		Err  error                   // why there is no such matcher
//	}
//
// A call that is given a matcher with an Err, such as a Path that cannot be read, fails at once, whatever it wants. Diff may be called from
// several goroutines and must not change the event.
type Match = kit.Match

// FieldDiff is one difference between what a matcher wants and what an event has.
//
//	type FieldDiff struct {
//		Path string // begins with body, props, key or partition
//		Want any    // a JSON value
//		Got  any
//	}
type FieldDiff = kit.FieldDiff

// Miss is why a Wait failed. Its Text (and Error) has the events that are closest to what was wanted and what differs, and hints: what was
// refused, which faults fired, what went to other hubs. Unwrap gives the context's error if time ran out.
type Miss = kit.Miss

// Body wants this body: the same bytes where v is a string or []byte, otherwise the JSON of v, compared by value: the order of members and
// the form of numbers do not count.
func Body(v any) Match { return kit.Body(v) }

// Subset wants a JSON body that has at least what the JSON of v has: objects may have further members, at any depth; arrays have as many
// elements as in v, each with at least what that one has. Of a struct all fields are wanted, zero ones too unless they have omitempty: to leave
// some out give a map.
func Subset(v any) Match { return kit.Subset(v) }

// Path wants the value at a path of a JSON body to equal the JSON of v. Paths look like State, lines[0].sku, lines[-1] or ["odd.name"].
func Path(path string, v any) Match { return kit.Path(path, v) }

// Prop wants an application property to equal v. Numbers of all types compare by value, times with text in RFC 3339, binary with base64.
func Prop(name string, v any) Match { return kit.Prop(name, v) }

// Key wants this partition key.
func Key(key string) Match { return kit.Key(key) }

// Partition wants the event in this partition, a decimal number. A hub that does not have it is an error.
func Partition(id string) Match { return kit.Partition(id) }

// CloudEvent wants a CloudEvent of this type and source, in binary or structured mode; "" is any.
func CloudEvent(typ, source string) Match { return kit.CloudEvent(typ, source) }

// That wants holds to return nil. What it returns otherwise is shown.
func That(name string, holds func(Event) error) Match { return kit.That(name, holds) }
