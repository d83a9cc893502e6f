package gateway

import (
	_ "embed"
	"net/http"
	"strconv"
)

// openAPI describes the public face in OpenAPI 3.1. The tests hold every request and answer to it.
//
//go:embed openapi.json
var openAPI []byte

var valueCacheable = []string{"public, max-age=300"}

func (c *call) describe() {
	h := c.w.Header()
	h["Content-Type"] = valueJSON
	h["Cache-Control"] = valueCacheable
	h.Set("Content-Length", strconv.Itoa(len(openAPI)))
	c.status = http.StatusOK
	c.w.WriteHeader(c.status)
	if c.r.Method != http.MethodHead {
		c.w.Write(openAPI)
	}
}
