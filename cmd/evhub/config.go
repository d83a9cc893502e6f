package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Work with configuration files",
		Args:  takes(0, 0),
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
		Long: `Say what a configuration means, and everything that is wrong with it, with line and column. Without FILE it is the file that serve would
take: EVHUB_CONFIG, then ` + config.OfficialPath + `, then none.`,
		Example: `  evhub config check Config.json`,
		Args:    takes(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.checkConfig(strings.Join(args, ""))
		},
	}
}

func (a *app) checkConfig(file string) error {
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
	fmt.Fprintf(a.out, "%s\n%s", path, describeConfig(c))
	return nil
}

// describeConfig has a line for each thing that was understood. Keys of policies are not shown.
func describeConfig(c *config.Config) string {
	var s strings.Builder
	for _, ns := range c.Namespaces {
		fmt.Fprintf(&s, "namespace %s\n", ns.Name)
		for _, h := range ns.Hubs {
			fmt.Fprintf(&s, "  hub %s, %s, groups %s, retention %s\n", h.Name, count(h.Partitions, "partition"),
				strings.Join(append([]string{"$Default"}, h.Groups...), " "), orDefault(h.Retention, orDefault(c.Evhub.Retention, "24h")))
		}
	}
	for _, p := range c.Evhub.Policies {
		fmt.Fprintln(&s, p)
	}
	if len(c.Evhub.Policies) == 0 {
		fmt.Fprintln(&s, "policies: none, so the public development keys open everything")
	}
	fmt.Fprintf(&s, "listen amqp %s, admin %s\n", listOr(c.Evhub.Listeners.AMQP, localHost), listOr(c.Evhub.Listeners.Admin, "localhost:5300"))
	l := c.Evhub.Limits
	fmt.Fprintf(&s, "memory %s, event or batch %s, readers without epoch %s, idle time-out %s\n", bytesOr(c.Evhub.Memory, "1GiB"),
		bytesOr(l.EventBytesMax, "1MiB"), orDefault(l.ReadersMax, "5"), orDefault(l.IdleTimeout, "2m0s"))
	fmt.Fprintf(&s, "log console %t, file %t\n", c.LogConsole, c.LogFile)
	return s.String()
}

func orDefault[T int | time.Duration](v T, standard string) string {
	if v == 0 {
		return standard
	}
	return fmt.Sprint(v)
}

func bytesOr(n int64, standard string) string {
	if n == 0 {
		return standard
	}
	return fmt.Sprintf("%d bytes", n)
}

func listOr(list []string, standard string) string {
	if len(list) == 0 {
		return standard
	}
	return strings.Join(list, " ")
}
