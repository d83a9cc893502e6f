package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/setting"
)

// looksBytesMax is more than either kind of configuration may have.
const looksBytesMax = 4 << 20

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Work with configuration files",
		Args:  takesCommand,
		RunE: func(*cobra.Command, []string) error {
			return badUsage("evhub config check Config.json", "say what to do")
		},
	}
	cmd.AddCommand(a.configCheckCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what a configuration means, and everything that is wrong with it",
		Long: `Say what a configuration means, and everything that is wrong with it, with line and column: a Config.json of serve, or the file of
gateway, whichever it is. Without FILE it is the file that serve would take: EVHUB_CONFIG, then ` + config.OfficialPath + `, then none.`,
		Example: `  evhub config check Config.json
  evhub config check gateway.yaml`,
		Args: takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.checkConfig(strings.Join(args, ""))
		},
	}
}

func (a *app) checkConfig(file string) error {
	if isGatewayFile(file) {
		return a.checkGatewayFile(file)
	}
	s := settings{file: file}
	c, path, err := s.load(a.getenv)
	if err == nil {
		err = broker.Check(c)
	}
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		a.note("warning: %s", w.Error())
	}
	if path == "" {
		path = "no file: these are the defaults"
	}
	fmt.Fprintf(a.out, "%s: a configuration of serve\n%s", path, describeConfig(c))
	return nil
}

// isGatewayFile goes by what is in the file, and where that says nothing by its name.
func isGatewayFile(file string) bool {
	extension := strings.ToLower(filepath.Ext(file))
	return looksLike(file, gatewayfile.Looks) || (extension == ".yaml" || extension == ".yml") && !looksLike(file, config.Looks)
}

func looksLike(file string, looks func([]byte) bool) bool {
	data, err := setting.ReadFile(file, looksBytesMax)
	return err == nil && looks(data)
}

func (a *app) checkGatewayFile(file string) error {
	c, err := gatewayfile.Load(file)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		a.note("warning: %s", w.Error())
	}
	fmt.Fprintf(a.out, "%s: a configuration of gateway\n", file)
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		route := c.Routes[name]
		fmt.Fprintf(a.out, "route %s to hub %s of target %s\n", name, route.Hub, route.Target)
	}
	for _, i := range c.Issuers {
		fmt.Fprintf(a.out, "issuer %s, audiences %s\n", cmp.Or(i.Name, i.URL, i.Entra), strings.Join(i.Audiences, " "))
	}
	for _, r := range c.Rules {
		fmt.Fprintf(a.out, "rule: %s\n", describeRule(r))
	}
	fmt.Fprintf(a.out, "listen api %s, probes %s\n", c.Listeners.API.Address, c.Listeners.Probes.Address)
	return nil
}

// describeRule leaves out no condition: who checks a file looks for one that is missing.
func describeRule(r gatewayfile.Rule) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s of %s with %s %s", r.Kind, r.Issuer, r.Claim, r.Value)
	if r.Role != "" {
		s.WriteString(" and role " + r.Role)
	}
	fmt.Fprintf(&s, " may %s to %s", listOr(r.Actions, "send"), listOr(r.Hubs, "the hub that it names"))
	if r.Rate > 0 {
		fmt.Fprintf(&s, ", %v messages/s", r.Rate)
	}
	if r.BytesPerSecond > 0 {
		fmt.Fprintf(&s, ", %s/s", bytesText(r.BytesPerSecond))
	}
	return s.String()
}

// describeConfig has a line for each thing that was understood. Keys of policies are not shown.
func describeConfig(c *config.Config) string {
	var s strings.Builder
	for _, ns := range c.Namespaces {
		fmt.Fprintf(&s, "namespace %s\n", ns.Name)
		for _, h := range ns.Hubs {
			fmt.Fprintf(&s, "  hub %s, %s, groups %s, retention %s\n", h.Name, count(h.Partitions, "partition"),
				strings.Join(append([]string{"$Default"}, h.Groups...), " "), timeOr(h.Retention, timeOr(c.Evhub.Retention, "24h")))
		}
	}
	for _, p := range c.Evhub.Policies {
		fmt.Fprintln(&s, p)
	}
	if len(c.Evhub.Policies) == 0 {
		fmt.Fprintln(&s, "policies: none, so the public development keys open everything")
	}
	l := c.Evhub.Listeners
	fmt.Fprintf(&s, "listen amqp %s, admin %s\n", listOr(l.AMQP, localHost), listOr(l.Admin, "localhost:5300"))
	if len(c.Evhub.Policies) > 0 {
		fmt.Fprintln(&s, "notification service: none beside policies of your own, except with --dev")
	} else {
		fmt.Fprintf(&s, "notification service: %s\n", listOr(l.API, "localhost:8080, or a free port if that is taken"))
	}
	limits := c.Evhub.Limits
	fmt.Fprintf(&s, "memory %s, event or batch %s, readers without epoch %d, idle time-out %s\n", bytesOr(c.Evhub.Memory, "1GiB"),
		bytesOr(limits.EventBytesMax, "1MiB"), cmp.Or(limits.ReadersMax, 5), timeOr(limits.IdleTimeout, "2m"))
	s.WriteString("log standard error")
	if c.LogFile {
		s.WriteString(" and " + logFileDefault)
	}
	s.WriteString("\n")
	return s.String()
}

func timeOr(d time.Duration, standard string) string {
	if d == 0 {
		return standard
	}
	return setting.Time(d)
}

func bytesOr(n int64, standard string) string {
	if n == 0 {
		return standard
	}
	return bytesText(setting.Bytes(n))
}

// bytesText has a word where there is no unit.
func bytesText(b setting.Bytes) string {
	if b%1024 != 0 {
		return fmt.Sprintf("%d bytes", b)
	}
	return b.String()
}

func listOr(list []string, standard string) string {
	if len(list) == 0 {
		return standard
	}
	return strings.Join(list, " ")
}
