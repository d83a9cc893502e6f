package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/evhub-dev/evhub/internal/config"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
	"github.com/evhub-dev/evhub/internal/obs"
	"github.com/evhub-dev/evhub/internal/service"
)

const tracesTime = 3 * time.Second // for the last spans to be sent

type notifying struct {
	*app
	file         string
	json         bool
	dieWithStdin bool
}

func (a *app) gatewayCommand() *cobra.Command {
	n := &notifying{app: a}
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run the notification service alone: messages over HTTP into Event Hubs or Kafka",
		Long: `Run the notification service until it is interrupted: callers with a JSON web token post messages over HTTP, and the service stores them in
Azure Event Hubs, an evhub broker, or Kafka. SIGTERM and SIGINT drain it, for as long as the configuration says; a second signal ends it at
once.

There are no defaults that let anyone in: issuers, rules, routes and targets are in the configuration. The log goes to standard error.
Traces are sent where the standard variables of OpenTelemetry say (OTEL_EXPORTER_OTLP_ENDPOINT).`,
		Example: `  evhub gateway example > gateway.yaml
  evhub config check gateway.yaml
  evhub gateway --config gateway.yaml`,
		Args: takesCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.file == "" {
				return badUsage("evhub gateway example prints one to begin with", "gateway: name the configuration: --config gateway.yaml")
			}
			return n.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.file, "config", a.getenv("EVHUB_GATEWAY_CONFIG"), "configuration `FILE` (default: EVHUB_GATEWAY_CONFIG)")
	f.BoolVar(&n.json, "json", false, "print one line of JSON when listening")
	f.BoolVar(&n.dieWithStdin, "die-with-stdin", false, "drain and end when standard input is closed")
	cmd.AddCommand(a.printing("example", "Print a configuration that explains every key", gatewayfile.Example),
		a.printing("schema", "Print the JSON schema of the configuration, for editors", gatewayfile.Schema))
	return cmd
}

// printing is a command that prints a file.
func (a *app) printing(name, short string, content func() []byte) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  evhub gateway " + name, Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(content())
			return err
		},
	}
}

func (n *notifying) run(ctx context.Context) error {
	c, err := gatewayfile.Load(n.file)
	if err != nil && looksLike(n.file, config.Looks) {
		err = &failure{text: n.file + ": this is a configuration of evhub serve, and gateway has one of its own",
			hint: "evhub serve --config " + n.file + ", or evhub gateway example for one to begin with"}
	}
	if err != nil {
		return err
	}
	log := obs.NewLogger(n.errw, c.Logging.Level, c.Logging.Format == "json", n.colour())
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
	o := service.Options{Config: c, Log: log, Getenv: n.getenv, Version: buildOf().Version}
	if c.Logging.Audit { // whatever the level of the log
		o.Audit = obs.NewLogger(n.errw, slog.LevelInfo, c.Logging.Format == "json", n.colour()).With("log", "audit")
	}
	flush, err := n.trace(ctx, &o)
	if err != nil {
		return err
	}
	defer flush()
	defer n.roomForGarbage()()
	s, err := service.Start(ctx, o)
	if err != nil {
		return err
	}
	n.announce(s)
	ctx, stop := n.untilStdinEnds(ctx, n.dieWithStdin)
	defer stop()
	return s.Run(ctx)
}

// trace gives the service a tracer if the environment wishes one.
func (n *notifying) trace(ctx context.Context, o *service.Options) (flush func(), err error) {
	provider, err := service.Tracing(ctx, n.getenv, o.Version)
	if err != nil || provider == nil {
		return func() {}, err
	}
	o.Tracer = trace.TracerProvider(provider)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesTime)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			o.Log.Warn("the last traces were not sent", "err", err)
		}
	}, nil
}

func (n *notifying) announce(s *service.Service) {
	if n.json {
		json.NewEncoder(n.out).Encode(struct {
			API    string `json:"api"`
			Probes string `json:"probes"`
		}{s.APIAddress(), "http://" + s.ProbesAddress()})
		return
	}
	fmt.Fprintf(n.out, "evhub gateway: listening\n  API     %s\n  PROBES  http://%s    /livez /readyz /metrics\n", s.APIAddress(), s.ProbesAddress())
}

// untilStdinEnds gives a context that is done with standard input as well, if that is wished.
func (a *app) untilStdinEnds(ctx context.Context, wished bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if wished {
		go func() { // ends with standard input, or with the process: a read cannot be interrupted
			io.Copy(io.Discard, a.in)
			cancel()
		}()
	}
	return ctx, cancel
}
