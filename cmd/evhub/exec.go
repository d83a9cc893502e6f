package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/obs"
)

const execName = "exec"

// leaveTime is how long a program that was asked to go may take before it is killed.
const leaveTime = 10 * time.Second

// Exit codes of exec beside the program's own. docker run and env have the same ones.
const (
	exitExec       = 125 // evhub itself failed
	exitUnrunnable = 126 // the program is there and cannot be run
	exitNotFound   = 127
	exitSignalled  = 128 // and the number of the signal that ended the program
)

// The variables that exec sets for the program.
const (
	envConnection = "EVENTHUB_CONNECTION_STRING"
	envAdmin      = "EVHUBTEST_URL"
	envAPI        = "EVHUB_API_URL"
	envIssuer     = "EVHUB_ISSUER_URL"
)

type executing struct {
	*app
	settings
	fixedPorts bool
	names      []string
	logLevel   string
	leave      time.Duration // leaveTime
}

func (a *app) execCommand() *cobra.Command {
	e := &executing{app: a, leave: leaveTime}
	cmd := &cobra.Command{
		Use:   execName + " [flags] [--] COMMAND [ARGUMENT...]",
		Short: "Run a program beside a broker that lives as long as it does",
		Long: `Start a broker on free ports, run the program with the broker's addresses in its environment, end the broker when the program ends, and
exit with the program's code. Several can run at once. Flags of exec stand before COMMAND; what stands behind it is the program's.

The program finds in its environment
  ` + envConnection + `   a connection string for the SDKs (--env NAME sets NAME to it as well)
  ` + envAdmin + `                the admin address, for test kits
  ` + envAPI + `                the notification service
  ` + envIssuer + `             its development issuer (evhub token jwt --issuer URL)

With --fixed-ports the broker is where the official emulator is, localhost:5672 and localhost:5300, for programs whose address cannot be
changed.

Signals go to the program: SIGTERM and SIGHUP as SIGTERM, and 10 seconds later it is killed; SIGINT as SIGINT, unless it was typed (Ctrl-C),
since the terminal then sends it to the program too. evhub stays until the program has ended, however often it is asked.

The exit code is the program's, 128 and the number of the signal that ended it, 127 if there is no such program, 126 if it cannot be run,
and 125 if evhub itself failed: a wrong flag or configuration, a port that is taken, a broker that fell.`,
		Example: `  evhub exec pytest -q
  evhub exec --hub orders:4:billing --env AZURE_EVENTHUB_CONN -- npm test
  evhub exec --fixed-ports --config Config.json -- pytest -q`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return badUsage("evhub exec -- pytest -q", "exec: say what to run, behind the flags of exec")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	e.addFlags(cmd, "a free port; with --fixed-ports ")
	f := cmd.Flags()
	f.SetInterspersed(false) // so that flags behind the program's name are the program's
	f.BoolVar(&e.fixedPorts, "fixed-ports", false, "listen on the official emulator's ports in place of free ones")
	f.StringArrayVar(&e.names, "env", nil, "set the variable `NAME` to the connection string, too; may be repeated")
	f.StringVar(&e.logLevel, "log-level", "warn", "`LEVEL` of the broker's log on standard error: debug, info, warn or error")
	return cmd
}

func (e *executing) run(ctx context.Context, command []string) error {
	c, _, err := e.load(e.getenv)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.logLevel)); err != nil {
		return badUsage("", "--log-level: %q is not debug, info, warn or error", e.logLevel)
	}
	for _, name := range e.names {
		if err := checkVariable(name); err != nil {
			return err
		}
	}
	if !e.fixedPorts {
		freePorts(&c.Evhub.Listeners)
	}
	log := obs.NewLogger(e.errw, level, false, false)
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
	asks, stop := asked(ctx)
	defer stop()
	b, err := broker.Start(context.WithoutCancel(ctx), broker.Options{Config: c, Log: log, Version: buildOf().Version})
	if err != nil {
		return e.unplaced(err)
	}
	return e.beside(b.Run, func() error { return e.program(asks, command, e.environment(b)) })
}

// beside runs the broker for as long as the program runs. The program's end counts before the broker's.
func (e *executing) beside(serve func(context.Context) error, program func() error) error {
	serving, end := context.WithCancel(context.Background())
	fell := make(chan error, 1)
	go func() {
		err := serve(serving)
		if err != nil {
			e.note("the broker fell, and the program goes on without it: %v", err)
		}
		fell <- err
	}()
	err := program()
	end()
	if broken := <-fell; err == nil {
		return broken
	}
	return err
}

// checkVariable refuses what programs could not look up in their environment.
func checkVariable(name string) error {
	set, value, isPair := strings.Cut(name, "=")
	switch {
	case name == "":
		return badUsage("--env AZURE_EVENTHUB_CONN", "--env is given with nothing in it; it takes the name of a variable")
	case isPair:
		return badUsage("the program inherits evhub's environment: set "+set+" to "+value+" there",
			"--env %q: it takes a name alone, and sets it to the connection string", name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return badUsage("", "--env %q: the name of a variable has no spaces and no control characters", name)
	}
	return nil
}

// freePorts has every door that nobody placed listen where the system likes.
func freePorts(l *config.Listeners) {
	anywhere := []string{"127.0.0.1:0"}
	if l.AMQP == nil {
		l.AMQP = anywhere
	}
	if l.API == nil {
		l.API = anywhere
	}
	if l.Admin == nil {
		l.Admin = anywhere
	}
}

// unplaced puts exec's way out in place of serve's. All hints of a broker that cannot start are about where it listens.
func (e *executing) unplaced(err error) error {
	refused, ok := errors.AsType[*broker.Error](err)
	if !ok || refused.Hint == "" {
		return err
	}
	var placed []string
	for _, choice := range []struct {
		made bool
		name string
	}{
		{e.fixedPorts, "--fixed-ports"},
		{e.amqp != nil, "--listen-amqp"},
		{e.api != nil, "--listen-api"},
		{e.admin != nil, "--listen-admin"},
	} {
		if choice.made {
			placed = append(placed, choice.name)
		}
	}
	if placed == nil {
		placed = []string{"Evhub.Listeners of the configuration"}
	}
	return &failure{
		text: refused.Error(),
		hint: "leave out " + strings.Join(placed, " and ") + ": exec then takes free ports of this machine, which the program finds in its environment",
	}
}

// environment is what the program is told beside what this process was told.
func (e *executing) environment(b *broker.Broker) []string {
	connection := b.ConnectionString().Encode()
	env := append(os.Environ(), envConnection+"="+connection, envAdmin+"=http://"+b.Address(broker.Admin))
	if address := b.Address(broker.API); address != "" {
		env = append(env, envAPI+"=http://"+address, envIssuer+"="+b.IssuerURL())
	}
	for _, name := range e.names {
		env = append(env, name+"="+connection)
	}
	return env
}
