// Command evhub is a broker that the official Azure Event Hubs SDKs take for Azure, with the commands a developer needs beside it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/broker"
)

func main() {
	os.Exit(run(interruptible(), os.Args, os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// interruptible gives a context that is done at the first signal, with it as the cause. From then on a second one ends the process.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // for as long as the process lives
		s := <-signals
		signal.Stop(signals) // first, so that no signal after the context's end is swallowed
		cancel(caught{s})
	}()
	return ctx
}

// caught is the cause of a context that a signal ended.
type caught struct{ os.Signal }

func (c caught) Error() string { return "caught the signal " + c.String() }

// Exit codes. Those of exec are its own.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command has at hand.
type app struct {
	invoked string // how the process was started, as argv[0]
	begun   time.Time
	in      io.Reader
	out     io.Writer // for machines, and for what a command is for
	errw    io.Writer // for people
	getenv  func(string) string

	parsed bool // flags and arguments are right: what fails now is not usage
}

// run is the whole program, and gives its exit code. args begins with the program's name. What waits ends when ctx is done.
func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer, getenv func(string) string) int {
	a := &app{invoked: args[0], begun: time.Now(), in: in, out: out, errw: errw, getenv: getenv}
	root := a.root()
	root.SetArgs(args[1:])
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	cmd, err := root.ExecuteContextC(ctx)
	return a.report(cmd, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "evhub",
		Version: buildOf().String(),
		Short:   "A broker that the Azure Event Hubs SDKs take for Azure",
		Example: `  evhub serve
  evhub send eh1 '{"Hello":"World!"}'
  evhub receive eh1`,
		SilenceErrors:     true, // report does it
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { a.parsed = true },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(a.helpCommand())
	root.AddCommand(a.serveCommand(), a.gatewayCommand(), a.execCommand(), a.sendCommand(), a.receiveCommand(), a.hubsCommand(), a.tokenCommand(), a.configCommand(),
		a.healthCommand(), a.versionCommand())
	return root
}

// failure is an error with a way out.
type failure struct {
	text  string
	hint  string // "" if there is nothing to add
	usage bool   // the command line is to blame
	code  int    // exit code; 0: the usual one
}

func (f *failure) Error() string { return f.text }

// badUsage blames the command line for what only the command itself can see.
func badUsage(hint, format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), hint: hint, usage: true}
}

// takes refuses too few and too many arguments.
func takes(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return badUsage("", "%s: %s given; usage: %s", cmd.Name(), count(len(args), "argument"), cmd.UseLine())
		}
		return nil
	}
}

// takesCommand refuses what is no subcommand, as cobra does for the root alone.
func takesCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return badUsage(cmd.CommandPath()+" has "+strings.Join(names, ", "), "unknown command %q for %q", args[0], cmd.CommandPath())
}

// helpCommand is cobra's, but fails where there is nothing to help with.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND...]",
		Short:   "Say how a command is used",
		Example: "  evhub help token sas",
		Args: func(cmd *cobra.Command, args []string) error {
			found, rest, _ := cmd.Root().Find(args)
			return takesCommand(found, rest)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, _, _ := cmd.Root().Find(args) // all of args, or it were refused
			found.InitDefaultHelpFlag()          // both as its own --help would show them
			found.InitDefaultVersionFlag()
			return found.Help()
		},
	}
}

// report says what cmd failed at and what may help, and gives the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	failed, misused := exitFailed, exitUsage
	if cmd.Name() == execName {
		failed, misused = exitExec, exitExec
	}
	text, hint, code := err.Error(), "", failed
	if f, ok := errors.AsType[*failure](err); ok {
		hint = f.hint
		if f.usage {
			code = misused
		}
		code = cmp.Or(f.code, code)
	} else if e, ok := errors.AsType[*broker.Error](err); ok {
		hint = e.Hint
	} else if !a.parsed {
		var near string // each on a line of its own
		text, near, _ = strings.Cut(text, "\n\nDid you mean this?")
		hint, code = cmd.CommandPath()+" --help", misused
		if names := strings.Fields(near); len(names) > 0 {
			hint = "did you mean " + strings.Join(names, " or ") + "? " + hint + " lists all commands"
		}
	}
	fmt.Fprintf(a.errw, "evhub: %s\n", strings.ReplaceAll(text, "\n", "\n       "))
	if hint != "" {
		fmt.Fprintf(a.errw, "  hint: %s\n", hint)
	}
	return code
}

// note tells people what goes on.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.errw, "evhub: "+format+"\n", args...)
}
