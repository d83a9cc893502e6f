package gatewayfile

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what problems are found into testdata")

// rest makes a file whole, so that a scene shows only what it is about.
var rest = []struct{ key, text string }{
	{"targets", `targets: {t: {broker: {address: "127.0.0.1:5672"}}}`},
	{"routes", `routes: {orders: {target: t}}`},
	{"issuers", `issuers: [{name: i, url: "https://i.example", audiences: [a]}]`},
	{"rules", `rules: [{issuer: i, kind: app, claim: roles, value: Send, hubs: ["*"]}]`},
}

// complete adds what is needed and not there, below what is. Scenes that begin with "nothing" or do not parse are left as they are.
func complete(name, text string) string {
	if strings.HasPrefix(name, "nothing") || strings.HasPrefix(text, "{") || !strings.Contains(text, ":") {
		return text
	}
	for _, section := range rest {
		if !strings.HasPrefix(text, section.key+":") && !strings.Contains(text, "\n"+section.key+":") {
			text += section.text + "\n"
		}
	}
	return text
}

// TestProblems goes through scenes: a name, a file, and what is found in it, as errors or, where there are none, as warnings.
func TestProblems(t *testing.T) {
	t.Parallel()
	const file = "testdata/problems.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, scene := range strings.Split("\n"+string(data), "\n== ")[1:] {
		name, scene, _ := strings.Cut(scene, "\n")
		text, want, ok := strings.Cut("\n"+scene, "\n----")
		text, want = strings.TrimPrefix(text+"\n", "\n"), strings.Trim(want, "\n")
		if !ok {
			t.Fatalf("%s: no ----", name)
		}
		got := found(complete(name, text))
		if got != want && !*update {
			t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", name, text, got, want)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: a secret in %s", name, got)
		}
		b.WriteString("== " + name + "\n" + text + "----\n" + strings.TrimSuffix(got+"\n", "\n") + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func found(text string) string {
	c, err := Parse("g.yaml", []byte(text))
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, w := range c.Warnings {
		lines = append(lines, "warning: "+w.Error())
	}
	if lines == nil {
		return "fine"
	}
	return strings.Join(lines, "\n")
}
