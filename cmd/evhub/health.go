package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthURL      = "http://127.0.0.1:5300/health"
	healthTime     = 5 * time.Second
	healthBytesMax = 64 << 10
)

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a broker whether it serves clients",
		Long: `Ask a broker whether it serves clients: exit code 0 means yes, 1 no. This is for health checks of containers, which have no other HTTP
client. Without URL it is ` + healthURL + `.`,
		Example: `  evhub health
  evhub health http://127.0.0.1:15300`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := healthURL
			if len(args) > 0 {
				target = args[0]
			}
			return a.health(cmd.Context(), target)
		},
	}
}

func (a *app) health(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return badUsage("", "%q is not a URL like %s", target, healthURL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/health"
	}
	status, body, err := fetch(ctx, u.String())
	if err != nil {
		return &failure{text: "no health from " + u.String() + ": " + err.Error(), hint: "start a broker with: evhub serve"}
	}
	var said struct{ Message string }
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = fmt.Sprintf("%s answered with status %d and not as a broker does", u, status)
	}
	if status != http.StatusOK {
		return &failure{text: said.Message}
	}
	fmt.Fprintln(a.out, said.Message)
	return nil
}

// fetch goes straight to the server: a proxy would be asked for its own network.
func fetch(ctx context.Context, target string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, healthBytesMax))
	return answer.StatusCode, body, err
}
