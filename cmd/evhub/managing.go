package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/evhub-dev/evhub/internal/config"
)

const (
	adminURL       = "http://127.0.0.1:5300"
	answerBytesMax = 1 << 20
)

// managing makes and deletes hubs of a running broker, over its admin address.
type managing struct {
	*app
	admin string
	space string
}

func (m *managing) addFlags(cmd *cobra.Command) {
	admin := m.getenv(envAdmin)
	if admin == "" {
		admin = adminURL
	}
	f := cmd.Flags()
	f.StringVar(&m.admin, "admin", admin, "`URL` of the broker's admin address (default: "+envAdmin+", then "+adminURL+")")
	f.Lookup("admin").DefValue = ""
	f.StringVar(&m.space, "space", "default", "`NAME` of the test kit's space")
}

func (a *app) hubsCreateCommand() *cobra.Command {
	m := &managing{app: a}
	cmd := &cobra.Command{
		Use:   "create HUB[:PARTITIONS[:GROUP,GROUP]]",
		Short: "Make a hub in a running broker",
		Long: `Make a hub in a running broker. It is gone with the broker, as its configuration does not know it, and the notification
service does not take messages for it. A broker with policies of its own is not
managed so, unless it runs with --dev.`,
		Example: `  evhub hubs create orders:4:billing,audit
  evhub hubs create orders --admin http://127.0.0.1:15300`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := config.ParseHubFlag(args[0])
			if err != nil {
				return badUsage("", "%s", err)
			}
			body, err := json.Marshal(map[string]any{"partitions": h.Partitions, "groups": append([]string{}, h.Groups...)})
			if err != nil {
				return err
			}
			if err := m.call(cmd.Context(), http.MethodPut, h.Name, body); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "hub %s, %s\n", h.Name, count(h.Partitions, "partition"))
			return nil
		},
	}
	m.addFlags(cmd)
	return cmd
}

func (a *app) hubsDeleteCommand() *cobra.Command {
	m := &managing{app: a}
	cmd := &cobra.Command{
		Use:     "delete HUB",
		Short:   "Delete a hub of a running broker, with its events",
		Example: `  evhub hubs delete orders`,
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.call(cmd.Context(), http.MethodDelete, args[0], nil); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "hub %s deleted\n", args[0])
			return nil
		},
	}
	m.addFlags(cmd)
	return cmd
}

// call does something to one hub. The error is what the broker says.
func (m *managing) call(ctx context.Context, method, hub string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	u, ok := httpURL(m.admin)
	if !ok {
		return badUsage("", "--admin: %q is not a URL like %s", m.admin, adminURL)
	}
	if hub == "." || hub == ".." {
		return badUsage("", "%q is no name of a hub", hub)
	}
	target := u.JoinPath("admin/v1/spaces", url.PathEscape(m.space), "hubs", url.PathEscape(hub)).String()
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // straight to the broker, past proxies
	if err != nil {
		return &failure{text: "no broker answers: " + err.Error(), hint: "start one with: evhub serve"}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil || response.StatusCode < 300 {
		return err
	}
	var problem struct{ Title, Detail, Pointer string }
	if json.Unmarshal(answer, &problem) != nil || problem.Title == "" {
		return &failure{text: fmt.Sprintf("%s answered with %s and not as a broker does", target, response.Status), hint: "--admin is the address behind ADMIN in the first lines of evhub serve"}
	}
	if problem.Pointer != "" {
		problem.Detail = problem.Pointer + ": " + problem.Detail
	}
	return &failure{text: problem.Title, hint: problem.Detail}
}
