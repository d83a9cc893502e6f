package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

const (
	healthPath     = "/health"
	healthURL      = "http://127.0.0.1:5300" + healthPath
	healthTime     = 5 * time.Second
	healthBytesMax = 64 << 10
	reasonRunesMax = 200
)

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a broker whether it serves clients",
		Long: `Ask a broker whether it serves clients: exit code 0 means yes, 1 no. This is for health checks of containers, which have no other HTTP
client. Without URL it is ` + envAdmin + `, which evhub exec sets, then ` + healthURL + `. Any other URL is asked as well, such as the
/readyz of a notification service: status 200 means yes.`,
		Example: `  evhub health
  evhub health http://127.0.0.1:15300
  evhub health http://127.0.0.1:8081/readyz`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := cmp.Or(a.getenv(envAdmin), healthURL)
			if len(args) > 0 {
				target = args[0]
			}
			return a.health(cmd.Context(), target)
		},
	}
}

func (a *app) health(ctx context.Context, target string) error {
	u, ok := httpURL(target)
	if !ok {
		return badUsage("", "%q is not a URL like %s", target, healthURL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = healthPath
	}
	status, body, err := fetch(ctx, u.String())
	if err != nil {
		hint := "start a broker with: evhub serve"
		if u.Path != healthPath {
			hint = ""
		}
		return &failure{text: "no health from " + u.Redacted() + ": " + err.Error(), hint: hint}
	}
	text := healthText(u, status, body)
	if status != http.StatusOK {
		return &failure{text: text}
	}
	fmt.Fprintln(a.out, text)
	return nil
}

// httpURL reads a URL that HTTP can go to.
func httpURL(s string) (u *url.URL, ok bool) {
	u, err := url.Parse(s)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// healthText is what a broker says of itself. Of another server it is what was asked, the status, and the reason, if it gives one.
func healthText(asked *url.URL, status int, body []byte) string {
	var broker struct{ Message string }
	if json.Unmarshal(body, &broker) == nil && broker.Message != "" {
		return broker.Message
	}
	text := fmt.Sprintf("%s: %d %s", asked.Redacted(), status, http.StatusText(status))
	if reason := firstLine(body); reason != "" {
		text += ": " + reason
	}
	return text
}

// firstLine is the first line that has something, fit for a terminal.
func firstLine(body []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	printable := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(line)))
	if len(printable) > reasonRunesMax {
		return string(printable[:reasonRunesMax]) + "..."
	}
	return string(printable)
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
