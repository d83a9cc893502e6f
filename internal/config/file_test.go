package config

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/setting"
)

// hubFile is a file with these Entities.
func hubFile(entities string) string {
	return `{"UserConfig": {"NamespaceConfig": [{"Name": "ns", "Entities": ` + entities + `}]}}`
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	const entities = "c.json:1:64: UserConfig.NamespaceConfig[0].Entities"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"c.json: is empty; it needs UserConfig or Evhub"}},
		{"too long", strings.Repeat(" ", fileBytesMax+1), []string{"c.json: is longer than 1MiB"}},
		{"UTF-16 without a mark", "{\x00}\x00", []string{"c.json: line 1 has a zero byte: this is UTF-16 without a byte order mark, or no text; " + setting.AsUTF8}},
		{"UTF-16 with a mistake", "\xff\xfe{\x00\n\x00}\x00x\x00", []string{"c.json:2:2: this is not JSON: invalid character 'x' after top-level value"}},
		{"cut off", "{\n  \"UserConfig\": {", []string{"c.json:2:18: this is not JSON: parsing value: unexpected EOF"}},
		{"missing comma", "{\n \"a\": 1\n \"b\": 2}", []string{
			"c.json:3:2: this is not JSON: invalid character '\"' after object value (expecting ',' or '}')"}},
		{"a bad escape in a key stays hidden", `{"Evhub": {"Policies": [{"Key": "SECRET\c"}]}}`, []string{
			"c.json:1:33: this is not JSON: there is no such string, number or word"}},
		{"two values", "{} {}", []string{"c.json:1:4: this is not JSON: invalid character '{' after top-level value"}},
		{"too deep", strings.Repeat("[", 51), []string{"c.json:1:51: more than 50 levels of brackets"}},
		{"a list", "[]", []string{"c.json:1:1: is a list, not an object"}},
		{"an empty object", " {}", []string{"c.json:1:2: UserConfig: is missing; the official file begins with it"}},
		{"null", `{"UserConfig": null}`, []string{"c.json:1:1: UserConfig: is missing; the official file begins with it"}},
		{"empty user part", `{"UserConfig": {}}`, []string{
			"c.json:1:16: UserConfig.NamespaceConfig: is missing; it lists the namespace with its hubs"}},
		{"no namespace", `{"UserConfig": {"NamespaceConfig": []}}`, []string{
			"c.json:1:36: UserConfig.NamespaceConfig: is empty; one namespace is needed"}},
		{"empty namespace", `{"UserConfig": {"NamespaceConfig": [{}]}}`, []string{
			"c.json:1:37: UserConfig.NamespaceConfig[0].Name: is missing; the official emulator calls it emulatorNs1",
			"c.json:1:37: UserConfig.NamespaceConfig[0].Entities: is missing; it lists the hubs, and may be empty"}},
		{"Service Bus file", `{"UserConfig": {"NamespaceConfig": [{"Type": "ServiceBus", "Name": "ns", "Entities": []}]}}`, []string{
			`c.json:1:46: UserConfig.NamespaceConfig[0].Type: "ServiceBus" is not "EventHub", the only type there is`}},
		{"two namespaces of a name", `{"UserConfig": {"NamespaceConfig": [{"Name": "ns", "Entities": []},
			{"Name": "NS", "Entities": []}]}}`, []string{
			`c.json:2:13: UserConfig.NamespaceConfig[1].Name: there are two namespaces "NS"`}},
		{"hubs are no list", hubFile(`{}`), []string{entities + ": is an object, not a list"}},
		{"hub is no object", hubFile(`["eh1"]`), []string{
			"c.json:1:65: UserConfig.NamespaceConfig[0].Entities[0]: is a string, not an object"}},
		{"empty hub", hubFile(`[{}]`), []string{
			"c.json:1:65: UserConfig.NamespaceConfig[0].Entities[0].Name: is missing; every hub needs one",
			"c.json:1:65: UserConfig.NamespaceConfig[0].Entities[0].PartitionCount: is missing; every hub needs one, 1 or more"}},
		{"all in one go", hubFile(`[
  {"Name": "eh1", "PartitionCount": 0},
  {"Name": "my hub", "PartitionCount": "2001"},
  {"Name": "", "PartitionCount": "two"},
  {"Name": 3, "PartitionCount": 1.5},
  {"Name": "EH1", "PartitionCount": true},
  {"Name": "c", "PartitionCount": 99999999999999999999, "Retention": "1 day"},
  {"Name": "c2", "Name": "c3", "PartitionCount": -1, "Retention": "0s"}]`), []string{
			"c.json:2:37: UserConfig.NamespaceConfig[0].Entities[0].PartitionCount: 0 is less than 1",
			`c.json:3:12: UserConfig.NamespaceConfig[0].Entities[1].Name: "my hub" cannot name a hub: ` +
				"use letters, digits and . - _ / inside, a letter or digit at both ends",
			"c.json:3:40: UserConfig.NamespaceConfig[0].Entities[1].PartitionCount: 2001 is more than 2000",
			"c.json:4:12: UserConfig.NamespaceConfig[0].Entities[2].Name: the name of a hub is empty",
			`c.json:4:34: UserConfig.NamespaceConfig[0].Entities[2].PartitionCount: "two" is not a whole number`,
			"c.json:5:12: UserConfig.NamespaceConfig[0].Entities[3].Name: is a number, not a string",
			`c.json:5:33: UserConfig.NamespaceConfig[0].Entities[3].PartitionCount: "1.5" is not a whole number`,
			`c.json:6:12: UserConfig.NamespaceConfig[0].Entities[4].Name: there are two hubs "eh1"`,
			"c.json:6:37: UserConfig.NamespaceConfig[0].Entities[4].PartitionCount: is true or false, not a number",
			"c.json:7:35: UserConfig.NamespaceConfig[0].Entities[5].PartitionCount: " +
				"99999999999999999999 is out of range; it must be from 1 to 2000",
			`c.json:7:70: UserConfig.NamespaceConfig[0].Entities[5].Retention: "1 day" is not a length of time, like "500ms", "90m" or "7d"`,
			"c.json:8:18: UserConfig.NamespaceConfig[0].Entities[6].Name: is given twice",
			"c.json:8:50: UserConfig.NamespaceConfig[0].Entities[6].PartitionCount: -1 is less than 1",
			`c.json:8:67: UserConfig.NamespaceConfig[0].Entities[6].Retention: "0s" is not more than nothing`}},
		{"groups", hubFile(`[{"Name": "h", "PartitionCount": 1, "ConsumerGroups": [
  {"Name": "a"}, {"Name": "A"}, {"Name": "-x"}, {}, {"Name": "$other"}, "b"]}]`), []string{
			`c.json:2:27: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[1].Name: there are two groups "a"`,
			`c.json:2:42: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[2].Name: "-x" cannot name a group: ` +
				"use letters, digits and . - _ / inside, a letter or digit at both ends",
			"c.json:2:49: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[3].Name: is missing; every group needs one",
			`c.json:2:62: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[4].Name: "$other" cannot name a group: ` +
				"use letters, digits and . - _ / inside, a letter or digit at both ends",
			"c.json:2:73: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroups[5]: is a string, not an object"}},
		{"logging", `{"UserConfig": {"LoggingConfig": {"Type": "Syslog"}, "NamespaceConfig": 1}}`, []string{
			`c.json:1:43: UserConfig.LoggingConfig.Type: "Syslog" is not a kind of log; use "File", "Console" or "File,Console"`,
			"c.json:1:73: UserConfig.NamespaceConfig: is a number, not a list"}},
		{"logging without type", `{"UserConfig": {"LoggingConfig": {}, "NamespaceConfig": {}}}`, []string{
			"c.json:1:34: UserConfig.LoggingConfig.Type: is missing; it is File, Console or both",
			"c.json:1:57: UserConfig.NamespaceConfig: is an object, not a list"}},
		{"unknown key of ours", `{"Evhub": {"Polices": [], "evil\n": 1}}`, []string{
			"c.json:1:12: Evhub.Polices: is not a known key; did you mean Policies?",
			`c.json:1:27: Evhub."evil\n": is not a known key`}},
		{"our values", `{"Evhub": {
  "Listeners": {"AMQP": ["localhost", "h:99999"], "Admin": [], "Kafka": ":9092"},
  "Retention": 7,
  "Memory": "1G",
  "Limits": {"EventBytesMax": 100, "ReadersMax": 0, "IdleTimeout": "1s"}}}`, []string{
			`c.json:2:26: Evhub.Listeners.AMQP[0]: "localhost" is not host:port, like 127.0.0.1:5672`,
			`c.json:2:39: Evhub.Listeners.AMQP[1]: "h:99999" has no port from 0 to 65535`,
			"c.json:2:60: Evhub.Listeners.Admin: is empty; name one or more",
			"c.json:2:64: Evhub.Listeners.Kafka: is not a known key",
			"c.json:3:16: Evhub.Retention: is a number, not a string",
			`c.json:4:13: Evhub.Memory: "1G" is not a number of bytes, like 1048576, "512KiB" or "1GB"`,
			`c.json:5:31: Evhub.Limits.EventBytesMax: "100" is less than 1KiB`,
			"c.json:5:50: Evhub.Limits.ReadersMax: 0 is less than 1",
			"c.json:5:68: Evhub.Limits.IdleTimeout: 1s is not between 5s and 24h"}},
		{"policies", `{"Evhub": {"Policies": [
  {},
  {"Name": "p", "Key": "SECRET7", "Rights": []},
  {"Name": "p", "Key": "", "Rights": ["Send", "Write"], "Namespace": "other"},
  {"Name": "p", "Key": "${env:NOPE}", "SecondaryKey": "${file:nope}", "Rights": ""},
  {"Name": "p", "Key": "${vault:SECRET}", "Rights": "Send", "Hubs": "h"},
  {"Name": "ok", "Key": "SECRET-12", "Rights": "Send"},
  {"Name": "ok", "Key": "SECRET-13", "Rights": "Send"},
  {"Name": "semi", "Key": "SECRET;13", "Rights": "Send"}]}}`, []string{
			"c.json:2:3: Evhub.Policies[0].Name: is missing; clients give it as SharedAccessKeyName",
			"c.json:2:3: Evhub.Policies[0].Key: is missing; clients give it as SharedAccessKey",
			"c.json:2:3: Evhub.Policies[0].Rights: is missing; give Send, Listen or Manage",
			"c.json:3:24: Evhub.Policies[1].Key: needs 8 characters or more, and has 7",
			"c.json:3:45: Evhub.Policies[1].Rights: is empty; name one or more",
			"c.json:4:24: Evhub.Policies[2].Key: needs 8 characters or more, and has 0",
			`c.json:4:47: Evhub.Policies[2].Rights[1]: "Write" is not a right; the rights are Send, Listen and Manage`,
			`c.json:4:70: Evhub.Policies[2].Namespace: there is no namespace "other"; there is emulatorNs1`,
			`c.json:5:24: Evhub.Policies[3].Key: the environment variable "NOPE" is not set`,
			`c.json:5:55: Evhub.Policies[3].SecondaryKey: the file "nope": file does not exist`,
			`c.json:5:81: Evhub.Policies[3].Rights: "" is not a right; the rights are Send, Listen and Manage`,
			"c.json:6:24: Evhub.Policies[4].Key: begins with ${ and is neither ${env:NAME} nor ${file:PATH}",
			"c.json:6:61: Evhub.Policies[4].Hubs: is not a known key; did you mean Hub?",
			`c.json:8:3: Evhub.Policies[6]: there are two policies "ok" in the same place`,
			`c.json:9:3: Evhub.Policies[7]: a key of policy "semi" has a semicolon, or a space at an end, which no connection string can carry`}},
		{"no policies", `{"Evhub": {"Policies": []}}`, []string{
			"c.json:1:24: Evhub.Policies: is empty; list a policy, or leave the key out to have the public development keys"}},
		{"policy must choose a namespace", `{"UserConfig": {"NamespaceConfig": [{"Name": "a", "Entities": []}, {"Name": "b", "Entities": []}]},
"Evhub": {"Policies": [{"Name": "p", "Key": "12345678", "Rights": "Send"}]}}`, []string{
			"c.json:2:24: Evhub.Policies[0].Namespace: is missing; there are several: a, b"}},
	} {
		_, err := parse("c.json", []byte(c.text), testSecrets)
		var list Errors
		if !errors.As(err, &list) {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if got, want := list.Error(), strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: a key in the error", c.name)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c, err := Parse("c.json", []byte(`{
  "Logging": {},
  "UserConfig": {
    "NamespaceConfig": [{"Name": "ns", "Entities": [{"Name": "h", "PartitionCount": 1, "ConsumerGroup": [], "MessageRetentionInDays": 1}]}],
    "LogingConfig": {"Type": "File"}
  },
  "Evhub": {"Policies": [{"Name": "p", "Key": "12345678", "Rights": "Send", "Hub": "later"}]}
}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"c.json:2:3: Logging: is not a known key",
		"c.json:4:88: UserConfig.NamespaceConfig[0].Entities[0].ConsumerGroup: is not a known key; did you mean ConsumerGroups?",
		"c.json:4:109: UserConfig.NamespaceConfig[0].Entities[0].MessageRetentionInDays: is not a known key",
		"c.json:5:5: UserConfig.LogingConfig: is not a known key; did you mean LoggingConfig?",
		`c.json:7:84: Evhub.Policies[0].Hub: there is no hub "later" in this file; the policy waits for one`,
	}
	if got := Errors(c.Warnings).Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if !c.LogConsole || c.LogFile {
		t.Error("a misspelt LoggingConfig must leave the default")
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	t.Parallel()
	text := hubFile("[" + strings.Repeat(`{"Name":"!","PartitionCount":1,"x":1},`, 5000) + "]")
	_, err := Parse("c.json", []byte(text))
	var list Errors
	if !errors.As(err, &list) || len(list) != problemsMax+1 || list[problemsMax].Error() != "c.json: 4900 more like these" {
		t.Errorf("%d problems, the last %v", len(list), list[len(list)-1])
	}
}

func TestParseBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "1KiB": 1 << 10, "2 mib": 2 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40,
		"1kB": 1e3, "3MB": 3e6, "1GB": 1e9, "1TB": 1e12, "64b": 64,
	} {
		if got, err := parseBytes(text, 1, 1<<50); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "B", "KiB", "0", "-1", "-9223372036854775808TiB", "1.5GiB", "1G", "1025TiB", "9223372036854775807KiB", "1e9",
	} {
		if got, err := parseBytes(text, 1, 1<<50); err == nil {
			t.Errorf("%s: got %d", text, got)
		}
	}
}

// TestUTF16 is a file as Windows PowerShell 5 writes it.
func TestUTF16(t *testing.T) {
	t.Parallel()
	b := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(hubFile(`[{"Name": "h1", "PartitionCount": 3}] // Zürich` + "\r\n"))) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	c, err := Parse("Config.json", b)
	if err != nil || c.Namespaces[0].Hubs[0].Partitions != 3 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no test files: ", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(hubFile(`[{"Name":"a","Nmae":1,"PartitionCount":"x"},{}]`)))
	f.Add([]byte("{//\n\"\\u0000\":[1,]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("c.json", data, testSecrets)
		if err != nil {
			checkErrors(t, data, err)
			return
		}
		if len(c.Namespaces) == 0 {
			t.Error("no namespace")
		}
		for _, ns := range c.Namespaces {
			again := Config{Namespaces: []Namespace{{Name: ns.Name}}}
			for _, h := range ns.Hubs {
				if err := again.AddHub(h); err != nil {
					t.Errorf("hub %+v: %v", h, err)
				}
			}
		}
		if _, err := auth.NewPolicies(c.Evhub.Policies...); err != nil {
			t.Error(err)
		}
	})
}

// checkErrors wants one short line for each problem, and the place in the file.
func checkErrors(t *testing.T, data []byte, err error) {
	var list Errors
	if !errors.As(err, &list) || len(list) == 0 {
		t.Fatalf("error %v", err)
	}
	for _, p := range list {
		text := p.Error()
		if p.Line > 1+strings.Count(string(data), "\n") || strings.Contains(text, "\n") || len(text) > 1000 || !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	}
}
