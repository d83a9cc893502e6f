package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evhub-dev/evhub/internal/broker"
	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/obs"
)

// logFileDefault is the log that LoggingConfig.Type "File" asks for, in the working directory.
const logFileDefault = "evhub.log"

type serving struct {
	*app
	settings
	dev          bool
	json         bool
	dieWithStdin bool
	logLevel     string
	logFormat    string
	logFile      string
}

func (a *app) serveCommand() *cobra.Command {
	s := &serving{app: a}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a broker, and for development its notification service",
		Long: `Run a broker until it is interrupted. SIGTERM and SIGINT drain it: clients are asked to go and have 5 seconds; a second signal ends
it at once.

Without a configuration there is the hub eh1 with two partitions and the consumer group cg1, and the official emulator's development key
opens everything; a notification service takes messages over HTTP for bearers of a JSON web token, which a development issuer gives to
anyone (evhub token jwt). With policies of your own there is neither, unless you say --dev. The configuration is the official emulator's Config.json; policies, limits and listeners go into its object "Evhub".

The log goes to standard error. LoggingConfig.Type "File" adds a log file, evhub.log in the working directory unless --log-file says where;
if evhub.log cannot be opened the broker says so and goes on. The banner always goes to standard output.

The environment variables of the official container (ACCEPT_EULA, BLOB_SERVER, METADATA_SERVER, ...) are accepted and not needed.`,
		Example: `  evhub serve
  evhub serve --config Config.json
  evhub serve --hub orders:4:billing,audit --retention 1h
  evhub serve --listen-amqp 127.0.0.1:0 --listen-api 127.0.0.1:0 --listen-admin 127.0.0.1:0 --json --die-with-stdin`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	s.addFlags(cmd, "")
	f := cmd.Flags()
	f.BoolVar(&s.dev, "dev", isSet(a.getenv("EVHUB_DEV")), "allow listening beyond this machine with the public development key (EVHUB_DEV=1)")
	f.BoolVar(&s.json, "json", false, "print one line of JSON when ready; text for people goes to standard error")
	f.BoolVar(&s.dieWithStdin, "die-with-stdin", false, "drain and end when standard input is closed")
	f.StringVar(&s.logLevel, "log-level", "info", "`LEVEL`: debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "`FORMAT`: text or json")
	f.StringVar(&s.logFile, "log-file", "", "also log to `PATH`")
	return cmd
}

func (s *serving) run(ctx context.Context) error {
	c, path, err := s.load(s.getenv)
	if err != nil {
		return err
	}
	log, file, err := s.openLog(c)
	if err != nil {
		return err
	}
	if file != nil {
		defer file.Close()
	}
	if path != "" {
		log.Info("configuration read", "file", path)
	}
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
	defer s.roomForGarbage()()
	b, err := broker.Start(ctx, broker.Options{Config: c, Dev: s.dev, Log: log, Version: buildOf().Version})
	if err != nil {
		return err
	}
	s.announce(c, path, b)
	ctx, stop := s.untilStdinEnds(ctx, s.dieWithStdin)
	defer stop()
	return b.Run(ctx)
}

// announce says that the broker is ready, in a line for machines and in text for people.
func (s *serving) announce(c *config.Config, path string, b *broker.Broker) {
	people := s.out
	if s.json {
		people = s.errw
		line := struct {
			AMQP             string `json:"amqp"`
			API              string `json:"api,omitempty"`
			Issuer           string `json:"issuer,omitempty"`
			Admin            string `json:"admin"`
			ConnectionString string `json:"connectionString"`
		}{AMQP: b.Address(broker.AMQP), Issuer: b.IssuerURL(), Admin: "http://" + b.Address(broker.Admin), ConnectionString: connectionText(b)}
		if address := b.Address(broker.API); address != "" {
			line.API = "http://" + address
		}
		json.NewEncoder(s.out).Encode(line)
	}
	executable, _ := os.Executable()
	dir, _ := os.Getwd()
	text := banner{
		config: c, path: path, broker: b,
		took:  time.Since(s.begun),
		goos:  runtime.GOOS,
		start: words(s.invoked, executable, dir),
	}
	io.WriteString(people, text.String())
}

// openLog gives the broker's log, and its file if there is one.
func (s *serving) openLog(c *config.Config) (*slog.Logger, *os.File, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, nil, badUsage("", "--log-level: %q is not debug, info, warn or error", s.logLevel)
	}
	if s.logFormat != "text" && s.logFormat != "json" {
		return nil, nil, badUsage("", "--log-format: %q is neither text nor json", s.logFormat)
	}
	asJSON := s.logFormat == "json"
	console := obs.NewLogger(s.errw, level, asJSON, s.colour())
	file, err := s.openLogFile(c)
	switch {
	case err != nil && s.logFile != "":
		return nil, nil, &failure{text: "--log-file: " + err.Error()}
	case err != nil:
		console.Warn("going on without the log file that LoggingConfig asks for", "err", err, "change", "--log-file")
	}
	if file == nil {
		return console, nil, nil
	}
	return obs.Tee(console, obs.NewLogger(file, level, asJSON, false)), file, nil
}

// openLogFile gives nil if none is wanted.
func (s *serving) openLogFile(c *config.Config) (*os.File, error) {
	path := s.logFile
	if path == "" {
		if !c.LogFile {
			return nil, nil
		}
		path = logFileDefault
	}
	return os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// colour is for terminals whose user did not ask for none (no-color.org).
func (a *app) colour() bool {
	f, ok := a.errw.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" &&
		(runtime.GOOS != "windows" || a.getenv("WT_SESSION") != "" || a.getenv("TERM") != "")
}
