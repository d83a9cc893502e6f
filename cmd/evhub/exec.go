package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/obs"
)

// leaveTime is how long a program that was asked to go may take before it is killed.
const leaveTime = 10 * time.Second

// signalled is what a shell adds to the number of the signal that ended a program.
const signalled = 128

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
}

func (a *app) execCommand() *cobra.Command {
	e := &executing{app: a}
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a program beside a broker that lives as long as it does",
		Long: `Start a broker on free ports, run the program with the broker's addresses in its environment, end the broker when the program ends, and
exit with the program's code. Several can run at once.

The program finds in its environment
  ` + envConnection + `   a connection string for the SDKs (--env NAME sets NAME to it as well)
  ` + envAdmin + `                the admin address, for test kits
  ` + envAPI + `                the notification service
  ` + envIssuer + `             its development issuer (evhub token jwt --issuer URL)

With --fixed-ports the broker is where the official emulator is, localhost:5672 and localhost:5300, for programs whose address cannot be
changed.`,
		Example: `  evhub exec -- pytest -q
  evhub exec --hub orders:4:billing --env AZURE_EVENTHUB_CONN -- npm test
  evhub exec --fixed-ports --config Config.json -- pytest -q`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return badUsage("evhub exec -- pytest -q", "exec: say what to run, behind two dashes")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	e.addFlags(cmd)
	f := cmd.Flags()
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
	if !e.fixedPorts {
		freePorts(&c.Evhub.Listeners)
	}
	log := obs.NewLogger(e.errw, level, false, false)
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
	b, err := broker.Start(ctx, broker.Options{Config: c, Log: log, Version: buildOf().Version})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	running, end := context.WithCancel(context.WithoutCancel(ctx)) // the program goes first, also when both are interrupted
	go func() { ended <- b.Run(running) }()
	err = e.program(ctx, command, e.environment(b))
	end()
	if fell := <-ended; fell != nil {
		e.note("the broker fell: %v", fell)
		if err == nil {
			err = fell
		}
	}
	return err
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

// exitCode ends this process as the program ended. The program has said why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("the program ended with code %d", int(c)) }

// atTerminal tells whether Ctrl-C reaches the program and this process alike.
func (e *executing) atTerminal() bool {
	f, ok := e.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// program runs the program to its end. When ctx is done it is asked to go.
func (e *executing) program(ctx context.Context, command, env []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, e.in, e.out, e.errw
	cmd.WaitDelay = leaveTime
	cmd.Cancel = func() error { // the error has Run tell how the program ended, and not that it was asked to
		if !e.atTerminal() { // a terminal has told the program itself
			cmd.Process.Signal(os.Interrupt) // what does not know signals, as Windows, is killed after leaveTime
		}
		return os.ErrProcessDone
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return exitCode(exit.ExitCode())
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return exitCode(signalled + int(status.Signal())) // as shells tell it
		}
	case errors.Is(err, exec.ErrNotFound):
		return &failure{text: fmt.Sprintf("exec: there is no program %q on the PATH", command[0]), hint: "name it by its path"}
	case cmd.ProcessState == nil:
		return &failure{text: "exec: " + strings.Join(command, " ") + ": " + err.Error()}
	}
	return &failure{text: fmt.Sprintf("exec: %s: %v", command[0], err)}
}
