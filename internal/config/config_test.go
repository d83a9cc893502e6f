package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/auth"
)

var testSecrets = secrets{
	lookupEnv: func(name string) (string, bool) { return "key-from-env", name == "APP_KEY" },
	readFile: func(path string) ([]byte, error) {
		if path == "app.key" {
			return []byte("key-from-file\r\n"), nil
		}
		return nil, fs.ErrNotExist
	},
}

func TestGoodFiles(t *testing.T) {
	t.Parallel()
	hub := func(name string, partitions int, groups ...string) Hub {
		return Hub{Name: name, Partitions: partitions, Groups: groups}
	}
	kept := func(h Hub, d time.Duration) Hub { h.Retention = d; return h }
	for file, want := range map[string]Config{
		"official.json": {
			Namespaces: []Namespace{{Name: "emulatorNs1", Hubs: []Hub{hub("eh1", 2, "cg1")}}},
			LogFile:    true,
		},
		"loose.json": {
			Namespaces: []Namespace{{Name: "emulatorNs1", Hubs: []Hub{
				hub("eh1", 4, "cg1", "b.c-d_e/f"), hub("no-groups", 1), hub("null-groups", 40), kept(hub("x", 2000), 7*24*time.Hour),
			}}},
			LogFile: true, LogConsole: true,
		},
		"evhub.json": {
			Namespaces: []Namespace{
				{Name: "one", Hubs: []Hub{hub("orders", 1)}},
				{Name: "two", Hubs: []Hub{kept(hub("orders", 1), 90*time.Minute), hub("audit", 1)}},
			},
			LogConsole: true,
			Evhub: Evhub{
				Policies: []auth.Policy{
					{Name: "app", Key: "key-from-env", SecondaryKey: "key-from-file", Rights: auth.Send | auth.Listen, Namespace: "two", Hub: "orders"},
					{Name: "admin", Key: "in the file", Rights: auth.Manage, Namespace: "one"},
				},
				Listeners: Listeners{AMQP: []string{"0.0.0.0:5672"}, Admin: []string{":5300", "[::1]:0"}},
				Retention: 36 * time.Hour,
				Memory:    512 << 20,
				Limits:    Limits{EventBytesMax: 2000000, ReadersMax: 20, IdleTimeout: 30 * time.Second},
			},
		},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parse(file, data, testSecrets)
		if err != nil {
			t.Errorf("%s:\n%v", file, err)
			continue
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", file, *got, want)
		}
	}
}

func TestOnlyOurs(t *testing.T) {
	t.Parallel()
	got, err := Parse("c.json", []byte(`{"Evhub": {"Policies": [{"Name": "p", "Key": "12345678", "Rights": "send"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Namespaces: []Namespace{{Name: DefaultNamespace}},
		LogConsole: true,
		Evhub:      Evhub{Policies: []auth.Policy{{Name: "p", Key: "12345678", Rights: auth.Send, Namespace: DefaultNamespace}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestDefaultIsTheOfficialFile(t *testing.T) {
	t.Parallel()
	got, err := Load(filepath.Join("testdata", "official.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.LogFile, want.LogConsole = true, false
	want.Namespaces[0].Hubs[0].byDefault = false
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := filepath.Join(dir, "long.json")
	if err := os.WriteFile(long, make([]byte, fileBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.json")
	for path, want := range map[string]string{
		dir:     "is a directory; docker makes one when the file on the left side of a volume is missing",
		long:    "is longer than 1MiB",
		missing: "there is no such file",
	} {
		_, err := Load(path)
		if err == nil || err.Error() != path+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestSecretsFromFilesAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("EVHUB_TEST_KEY", "from-the-environment")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("relative.key", "\ufefffrom-a-relative-file\r\n") // as Windows PowerShell 5 writes UTF-8
	absolute := filepath.Join(dir, "absolute.key")
	write("absolute.key", "from-an-absolute-file")
	write("c.json", fmt.Sprintf(`{"Evhub": {"Policies": [
		{"Name": "a", "Key": "${env:EVHUB_TEST_KEY}", "SecondaryKey": "${file:relative.key}", "Rights": "Send"},
		{"Name": "b", "Key": %q, "Rights": "Send"}]}}`, "${file:"+absolute+"}"))
	c, err := Load(filepath.Join(dir, "c.json"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Evhub.Policies[0], c.Evhub.Policies[1]
	if a.Key != "from-the-environment" || a.SecondaryKey != "from-a-relative-file" || b.Key != "from-an-absolute-file" {
		t.Errorf("keys %q, %q, %q", a.Key, a.SecondaryKey, b.Key)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, *c); strings.Contains(text, "from-") {
		t.Error("a printed configuration shows keys")
	}
}

func TestParseHubFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Hub{
		"orders":                 {Name: "orders", Partitions: 2},
		"Orders:4":               {Name: "orders", Partitions: 4},
		"orders:4:Audit,b":       {Name: "orders", Partitions: 4, Groups: []string{"audit", "b"}},
		"orders::$default,b":     {Name: "orders", Partitions: 2, Groups: []string{"b"}},
		"a/b.c:2000:":            {Name: "a/b.c", Partitions: 2000},
		strings.Repeat("a", 256): {Name: strings.Repeat("a", 256), Partitions: 2},
	} {
		if got, err := ParseHubFlag(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":              "the name of a hub is empty",
		":4":            "the name of a hub is empty",
		"my hub":        `"my hub" cannot name a hub: use letters, digits and . - _ / inside, a letter or digit at both ends`,
		"orders:0":      "0 is less than 1",
		"orders:2001":   "2001 is more than 2000",
		"orders:x":      `"x" is not a whole number`,
		"orders:1:a,,b": "the name of a group is empty",
		"orders:1:a,A":  `there are two groups "a"`,
		"orders:1:a:b":  "4 parts are more than 3",
	} {
		want = fmt.Sprintf("hub %q: %s; write name:partitions:group,group", text, want)
		if _, err := ParseHubFlag(text); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := ParseHubFlag(strings.Repeat("a", 257)); err == nil {
		t.Error("a name of 257 characters was taken")
	}
}

func TestAddHub(t *testing.T) {
	t.Parallel()
	c := Default()
	if err := c.AddHub(Hub{Name: "Orders", Partitions: 3, Groups: []string{"$Default", "A"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Namespaces[0].Hubs[1], (Hub{Name: "orders", Partitions: 3, Groups: []string{"a"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := c.AddHub(Hub{Name: "EH1", Partitions: 1}); err != nil || c.Namespaces[0].Hubs[0].Partitions != 1 || len(c.Namespaces[0].Hubs) != 2 {
		t.Errorf("in place of the default: %v, %+v", err, c.Namespaces[0].Hubs)
	}
	for _, c2 := range []struct {
		hub  Hub
		want string
	}{
		{Hub{Name: "EH1", Partitions: 1}, `there is a hub "eh1" already`},
		{Hub{Name: "Orders", Partitions: 3}, `there is a hub "orders" already`},
		{Hub{Name: "x"}, "partitions: 0 is less than 1"},
		{Hub{Name: "x", Partitions: 1, Retention: -1}, "retention: -1ns is negative"},
	} {
		if err := c.AddHub(c2.hub); err == nil || err.Error() != c2.want {
			t.Errorf("got %v, want %s", err, c2.want)
		}
	}
	var empty Config
	if err := empty.AddHub(Hub{Name: "x", Partitions: 1}); err != nil || empty.Namespaces[0].Name != DefaultNamespace {
		t.Errorf("without a namespace: %v, %+v", err, empty)
	}
}

func TestLooks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"UserConfig": {`: true, `{ "evhub" : 1}`: true, "\xff\xfe\"\x00E\x00v\x00h\x00u\x00b\x00\"\x00:\x00": true,
		"": false, "routes: {}": false, `{"name": "Evhub"}`: false,
	} {
		if got := Looks([]byte(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestFindFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag, env string
		mounted   bool
		want      string
	}{
		{"a.json", "b.json", true, "a.json"},
		{"", "b.json", true, "b.json"},
		{"", "", true, OfficialPath},
		{"", "", false, ""},
	} {
		getenv := func(name string) string { return map[string]string{"EVHUB_CONFIG": c.env}[name] }
		exists := func(path string) bool { return c.mounted && path == OfficialPath }
		if got := FindFile(c.flag, getenv, exists); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	_, err := Parse("c.json", []byte("{}"))
	var p Problem
	if !errors.As(err, &p) || p.Line != 1 || p.Column != 1 || p.Path != "UserConfig" {
		t.Errorf("got %+v from %v", p, err)
	}
}
