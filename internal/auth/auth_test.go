package auth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		err        bool
	}{
		{text: "Send", want: "Send"},
		{text: "listen", want: "Listen"},
		{text: "Send, LISTEN", want: "Listen,Send"},
		{text: "Manage", want: "Manage"},
		{text: "Manage,Send", want: "Manage"},
		{text: "", err: true},
		{text: "Send,", err: true},
		{text: "Write", err: true},
	} {
		got, err := ParseRights(c.text)
		if (err != nil) != c.err {
			t.Errorf("%q: error %v", c.text, err)
		}
		if !c.err && got.String() != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
	if !Manage.Has(Send) || !Manage.Has(Listen) || (Send | Listen).Has(Manage) || Send.Has(Listen) {
		t.Error("Manage must include Send and Listen, and nothing else may include it")
	}
	if got := Right(0).String(); got != "none" {
		t.Errorf("no rights: %s", got)
	}
}

func TestGrantAllows(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	hub := Grant{Namespace: "ns", Rights: Send, Path: "hub"}
	all := Grant{Namespace: "ns", Rights: Manage}
	brief := Grant{Namespace: "ns", Rights: Listen, Expires: now}
	for _, c := range []struct {
		name  string
		grant Grant
		right Right
		path  string
		at    time.Time
		want  bool
	}{
		{"the entity itself", hub, Send, "hub", now, true},
		{"below it", hub, Send, "hub/partitions/0", now, true},
		{"another right", hub, Listen, "hub", now, false},
		{"one right of two", hub, Send | Listen, "hub", now, false},
		{"a longer name", hub, Send, "hub2", now, false},
		{"a longer name below", hub, Send, "hub2/partitions/0", now, false},
		{"a shorter name", hub, Send, "hu", now, false},
		{"the namespace", hub, Send, "", now, false},
		{"any right, inside", hub, 0, "hub", now, true},
		{"any right, outside", hub, 0, "other", now, false},
		{"manage sends", all, Send, "hub", now, true},
		{"manage covers the namespace", all, Manage, "", now, true},
		{"the zero grant", Grant{}, 0, "", now, false},
		{"before expiry", brief, Listen, "hub", now.Add(-1), true},
		{"at expiry", brief, Listen, "hub", now, false},
	} {
		if got := c.grant.Allows(c.right, c.path, c.at); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
	}
}

func TestNormalizePath(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                         "",
		"hub":                      "hub",
		"/hub/Partitions/0":        "hub/partitions/0",
		"sb://host":                "",
		"sb://host/":               "",
		"sb://host/hub/":           "hub",
		"amqps://host:5671/Hub":    "hub",
		"amqp://name:key@host/hub": "hub",
		"amqps://[::1]:5671/hub":   "hub",
		"amqps://h/hub/ConsumerGroups/$Default/Partitions/0":  "hub/consumergroups/$default/partitions/0",
		"sb%3a%2f%2fhost%2fhub%2f":                            "hub",
		"sb%3A%2F%2Fhost%2Fhub%2Fconsumergroups%2F%24Default": "hub/consumergroups/$default",
		"localhost:5672/hub":                                  "localhost:5672/hub",
		"hub/a://b":                                           "hub/a://b", // "hub/a" is no scheme
		"://hub":                                              "://hub",
		"hub/%zz":                                             "hub/%zz",
		"hub%252fx":                                           "hub%2fx", // decoded once
		"a+b":                                                 "a+b",
		"sb://host/\u212Aafka":                                "\u212Aafka", // Kelvin is not k
		"sb://host/hub/../other":                              "hub/../other",
		"amqp://localhost%3A5672%2Fhub%2F%24management":        "hub/$management",
		"https://host/hub/publishers/Device-1/messages":        "hub/publishers/device-1/messages",
		"SB://HOST.servicebus.windows.net:443//hub":            "hub",
		"amqps://ns.servicebus.windows.net/hub/Partitions/%31": "hub/partitions/1",
	} {
		if got := NormalizePath(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
}

func FuzzNormalizePath(f *testing.F) {
	f.Add("amqps://user@host:5671/Hub/ConsumerGroups/$Default")
	f.Add("sb%3a%2f%2fhost%2fhub")
	f.Add("%")
	f.Fuzz(func(t *testing.T, address string) {
		got := NormalizePath(address)
		if len(got) > len(address) || strings.Trim(got, "/") != got || lower(got) != got {
			t.Errorf("%q: got %q", address, got)
		}
		if again := NormalizePath(lower(address)); again != got {
			t.Errorf("%q: got %q, in lower case %q", address, got, again)
		}
		if !covers("", got) || !covers(got, got) || !covers(got, got+"/x") || got != "" && covers(got, got+"x") {
			t.Errorf("%q covers the wrong things", got)
		}
	})
}

func wantReason(t *testing.T, name string, err error, want Reason) {
	t.Helper()
	var e *Error
	switch {
	case want == 0 && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != 0 && !errors.As(err, &e):
		t.Errorf("%s: error %v, want reason %s", name, err, want)
	case want != 0 && e.Reason != want:
		t.Errorf("%s: %s (%v), want %s", name, e.Reason, err, want)
	}
}
