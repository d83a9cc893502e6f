package gateway

import (
	"net/url"
	"strings"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

// place is what a path means.
type place uint8

const (
	nowhere     place = iota
	single            // /v1/hubs/{hub}/messages
	batch             // /v1/hubs/{hub}/messages:batch
	description       // /openapi.json
)

// locate finds out what a URL's path means. It is done by hand since http.ServeMux answers some paths with a redirect, which turns a POST
// into a GET, and would write answers of its own.
func locate(u *url.URL) (place, string) {
	if u.Path == "/openapi.json" {
		return description, ""
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), "/v1/hubs/")
	if !ok {
		return nowhere, ""
	}
	hub, last, ok := strings.Cut(rest, "/")
	if !ok || !jwt.IsHubName(hub) { // no character of a hub's name needs an escape, so one that has any is none
		return nowhere, ""
	}
	switch last {
	case "messages":
		return single, hub
	case "messages:batch", "messages%3Abatch", "messages%3abatch": // some clients escape the colon
		return batch, hub
	}
	return nowhere, ""
}

func (p place) allows(method string) bool {
	if p == description {
		return method == "GET" || method == "HEAD"
	}
	return method == "POST"
}

// methods is an Allow header.
func (p place) methods() string {
	if p == description {
		return "GET, HEAD"
	}
	return "POST"
}
