package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
)

// readinessLine is the official emulator's. Container modules wait for it.
const readinessLine = "Emulator Service is Successfully Up!"

// hubsShown bounds the banner.
const hubsShown = 12

// banner is what serve prints for people once the broker is ready. Its command lines work as they are printed.
type banner struct {
	config *config.Config
	path   string // of the configuration file, "" for none
	broker *broker.Broker
	took   time.Duration
	goos   string   // whose shell the command lines are for
	start  []string // how they begin
}

func (t banner) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "evhub: ready in %d ms\n", max(1, t.took.Milliseconds()))
	urls := []string{"amqp://" + t.broker.Host(broker.AMQP), "http://" + t.broker.Host(broker.Admin)}
	width := max(len(urls[0]), len(urls[1]))
	for i, hub := range t.hubs() {
		label, url := broker.AMQP, urls[0]
		if i > 0 {
			label, url = "", ""
		}
		fmt.Fprintf(&s, "  %-7s %-*s    %s\n", label, width, url, hub)
	}
	if t.broker.Address(broker.API) != "" {
		fmt.Fprintf(&s, "  %-7s %s\n", broker.API, t.publishURL())
	}
	fmt.Fprintf(&s, "  %-7s %-*s    %s\n", broker.Admin, width, urls[1], "/health /metrics")
	fmt.Fprintf(&s, "  %s\n", connectionText(t.broker))
	if t.broker.OwnPolicies() {
		fmt.Fprintf(&s, "  %-7s of policy %s: in %s\n", "key", t.broker.ConnectionString().KeyName, t.path)
	}
	label := "try"
	for _, line := range t.tries() {
		fmt.Fprintf(&s, "  %-7s %s\n", label, line)
		label = ""
	}
	s.WriteString(readinessLine + "\n")
	return s.String()
}

// hubs gives a line for each hub, at least one.
func (t banner) hubs() []string {
	var lines []string
	for _, ns := range t.config.Namespaces {
		for _, h := range ns.Hubs {
			name := h.Name
			if len(t.config.Namespaces) > 1 {
				name += " of " + ns.Name
			}
			lines = append(lines, fmt.Sprintf("hub %s, %s, groups %s", name, count(h.Partitions, "partition"),
				strings.Join(append([]string{"$Default"}, h.Groups...), " ")))
		}
	}
	if len(lines) == 0 {
		return []string{"no hubs"}
	}
	if len(lines) > hubsShown {
		return append(lines[:hubsShown], fmt.Sprintf("and %d more", len(lines)-hubsShown))
	}
	return lines
}

// tries are command lines that send and receive. There are none where a key would have to be printed, or where there is no hub.
func (t banner) tries() []string {
	if t.broker.OwnPolicies() || len(t.config.Namespaces[0].Hubs) == 0 {
		return nil
	}
	hub := t.config.Namespaces[0].Hubs[0].Name
	cs := t.broker.ConnectionString()
	var connect []string
	if cs.Host != localHost {
		connect = []string{"--connection-string", cs.Encode()}
	}
	line := func(verb string, args ...string) string {
		words := append(append(append([]string{}, t.start...), verb), connect...)
		return commandLine(t.goos, append(words, args...)...)
	}
	if strings.Contains(hub, "/") { // which has no place in the notification service's paths
		return []string{line("send", hub, example), line("receive", hub)}
	}
	return []string{line("send", hub, example), t.publishLine(hub), line("receive", hub)}
}

const example = `{"Hello":"World!"}`

// publishURL is where messages for the first hub are posted.
func (t banner) publishURL() string {
	hub := "{hub}"
	if list := t.config.Namespaces[0].Hubs; len(list) > 0 && !strings.Contains(list[0].Name, "/") {
		hub = list[0].Name
	}
	return "http://" + t.broker.Host(broker.API) + "/v1/hubs/" + hub + "/messages"
}

// publishLine posts a message as a client of the notification service does: with a token, by a tool that every system has.
func (t banner) publishLine(hub string) string {
	words := append(append([]string{}, t.start...), "token", "jwt", "--send", hub)
	if t.broker.IssuerURL() != localIssuer {
		words = append(words, "--issuer", t.broker.IssuerURL())
	}
	token := commandLine(t.goos, words...)
	if t.goos == "windows" {
		return `Invoke-RestMethod -Method Post -Headers @{Authorization="Bearer $(` + token + `)"} -ContentType application/json -Body '` + example + `' ` +
			t.publishURL()
	}
	return `curl -H "Authorization: Bearer $(` + token + `)" -H "Content-Type: application/json" -d ` + commandLine(t.goos, example) + " " + t.publishURL()
}

// connectionText hides a key that is not public.
func connectionText(b *broker.Broker) string {
	if cs := b.ConnectionString(); b.OwnPolicies() {
		return cs.String()
	} else {
		return cs.Encode()
	}
}

// count gives "1 partition", "2 partitions".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
