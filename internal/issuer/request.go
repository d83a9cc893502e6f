package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const answerBytesMax = 64 << 10

// Request gets a token from the development issuer at that URL, as any OAuth client would. The scope is "send:<hub>", more of them with
// spaces between, or "" for all hubs. Its errors are for people: they say what runs there, if it is no such issuer.
func Request(ctx context.Context, client *http.Client, issuerURL, clientID, scope string) (string, error) {
	endpoint, err := findTokenEndpoint(ctx, client, issuerURL)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {DevelopmentSecret}}
	if scope != "" {
		form.Set("scope", scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
		Text        string `json:"error_description"`
	}
	status, err := exchange(client, request, &answer)
	switch {
	case err != nil:
		return "", unreachable(endpoint, err)
	case status != http.StatusOK && answer.Text != "":
		return "", errors.New("the issuer refused: " + answer.Text)
	case status != http.StatusOK || answer.AccessToken == "":
		return "", fmt.Errorf("%s answered %d and no token", endpoint, status)
	}
	return answer.AccessToken, nil
}

// findTokenEndpoint reads the issuer's metadata, which tells an evhub from any other server.
func findTokenEndpoint(ctx context.Context, client *http.Client, issuerURL string) (string, error) {
	base := strings.TrimSuffix(issuerURL, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+openIDPath, nil)
	if err != nil {
		return "", fmt.Errorf("%.200q is not an address such as http://localhost:8080/issuer", issuerURL)
	}
	var answer struct {
		Issuer   string `json:"issuer"`
		Endpoint string `json:"token_endpoint"`
	}
	status, err := exchange(client, request, &answer)
	switch {
	case err != nil:
		return "", unreachable(issuerURL, err)
	case status != http.StatusOK || answer.Issuer == "":
		return "", fmt.Errorf("what runs at %s is no evhub issuer, or one that was started without it: it answered %d to %s", issuerURL, status, openIDPath)
	case answer.Endpoint != base+tokenPath:
		return "", fmt.Errorf("the issuer at %s calls itself %.200q and is no evhub: its tokens come from %.200q", issuerURL, answer.Issuer, answer.Endpoint)
	}
	return answer.Endpoint, nil
}

// exchange leaves the answer empty where the body is no JSON, as it is at other servers.
func exchange(client *http.Client, request *http.Request, answer any) (status int, err error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil {
		return 0, err
	}
	_ = json.Unmarshal(body, answer)
	return response.StatusCode, nil
}

func unreachable(address string, err error) error {
	if failure, ok := errors.AsType[*net.OpError](err); ok && failure.Op == "dial" {
		return fmt.Errorf("nothing runs at %s; start evhub, or name the address of the one that runs (%w)", address, failure.Err)
	}
	return fmt.Errorf("the issuer at %s does not answer: %w", address, err)
}
