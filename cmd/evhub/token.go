package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/issuer"
	"github.com/evhub-dev/evhub/internal/setting"
)

type signing struct {
	connection
	hub    string
	policy string
	key    string
	ttl    string
}

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make tokens for clients",
		Args:  takesCommand,
		RunE: func(*cobra.Command, []string) error {
			return badUsage("evhub token sas --hub eh1, or evhub token jwt --send eh1", "say what kind of token")
		},
	}
	cmd.AddCommand(a.tokenSASCommand(), a.tokenJWTCommand())
	return cmd
}

func (a *app) tokenSASCommand() *cobra.Command {
	s := &signing{connection: connection{app: a}}
	cmd := &cobra.Command{
		Use:   "sas",
		Short: "Print a shared access signature",
		Long: `Print a shared access signature for one hub, or without --hub for the whole namespace. The key is that of --policy and --key, or of the
connection string. Keys on a command line can be seen by other users of the machine; EVENTHUB_CONNECTION_STRING cannot.`,
		Example: `  evhub token sas --hub eh1 --ttl 1h
  evhub token sas --hub eh1 --policy app --key "$APP_KEY"
  evhub token sas --hub eh1 --connection-string "$AZURE_CONNECTION_STRING"`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error { return s.run() },
	}
	s.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.hub, "hub", "", "`HUB` that the token opens; without it all of the namespace")
	f.StringVar(&s.policy, "policy", "", "`NAME` of the policy that signs")
	f.StringVar(&s.key, "key", "", "the policy's `KEY`")
	f.StringVar(&s.ttl, "ttl", "1h", "`TIME` until the token ends, like 90m or 7d")
	return cmd
}

func (s *signing) run() error {
	ttl, err := setting.ParseDuration(s.ttl)
	if err != nil {
		return badUsage("", "--ttl: %s", err)
	}
	if ttl < time.Second {
		return badUsage("", "--ttl %s is less than a second", s.ttl)
	}
	if (s.policy == "") != (s.key == "") {
		return badUsage("", "--policy and --key go together")
	}
	cs, err := s.string()
	if err != nil {
		return err
	}
	if s.policy != "" {
		cs.KeyName, cs.Key = s.policy, s.key
	} else if cs.Key == "" {
		return badUsage("", "the connection string has a token in place of a key, and a token cannot sign another")
	}
	if s.hub == "" {
		s.hub = cs.EntityPath
	}
	fmt.Fprintln(s.out, auth.SignSAS("sb://"+cs.Host+"/"+s.hub, cs.KeyName, cs.Key, time.Now().Add(ttl)))
	return nil
}

// localIssuer is the development issuer of a broker on its usual port.
const localIssuer = "http://localhost:8080/issuer"

type asking struct {
	*app
	issuer string
	client string
	hubs   []string
}

func (a *app) tokenJWTCommand() *cobra.Command {
	r := &asking{app: a}
	cmd := &cobra.Command{
		Use:   "jwt",
		Short: "Print a JSON web token of the development issuer",
		Long: `Print a JSON web token for the notification service of evhub serve. It comes from that broker's development issuer, which gives one to
anyone: as OAuth 2 client credentials, so that a program can ask in the same way (client secret: ` + issuer.DevelopmentSecret + `). In production tokens come from an
issuer of your own.`,
		Example: `  evhub token jwt --send eh1
  evhub token jwt --send eh1 --send orders --client billing
  evhub token jwt --issuer http://localhost:18080/issuer`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&r.issuer, "issuer", cmp.Or(a.getenv(envIssuer), localIssuer), "`URL` of the issuer (default: "+envIssuer+", then "+localIssuer+")")
	f.Lookup("issuer").DefValue = ""
	f.StringVar(&r.client, "client", "evhub-cli", "`NAME` that the token is made out to")
	f.StringArrayVar(&r.hubs, "send", nil, "`HUB` that the token may send to; may be repeated; without it to all")
	return cmd
}

func (r *asking) run(ctx context.Context) error {
	if _, ok := httpURL(r.issuer); !ok {
		return badUsage("", "--issuer: %q is not a URL like %s", r.issuer, localIssuer)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	var scope []string
	for _, hub := range r.hubs {
		scope = append(scope, "send:"+hub)
	}
	token, err := issuer.Request(ctx, &http.Client{}, r.issuer, r.client, strings.Join(scope, " "))
	if err != nil {
		hint := ""
		if _, silent := errors.AsType[net.Error](err); silent {
			hint = "evhub serve has an issuer, and says in its first lines where: beside API, at /issuer"
		}
		return &failure{text: err.Error(), hint: hint}
	}
	fmt.Fprintln(r.out, token)
	return nil
}
