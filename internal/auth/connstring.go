package auth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ConnectionString is what an SDK needs to reach a namespace or a hub. It prints without its secrets; Encode gives them.
type ConnectionString struct {
	Host       string // host or host:port of Endpoint
	KeyName    string // SharedAccessKeyName
	Key        string // SharedAccessKey
	Signature  string // SharedAccessSignature: a ready token, in place of name and key
	EntityPath string // name of the hub; "": a namespace's connection string
	Emulator   bool   // UseDevelopmentEmulator: SDKs then speak AMQP without TLS
}

// ParseConnectionString reads "Endpoint=sb://host;SharedAccessKeyName=..;SharedAccessKey=..;EntityPath=..". Keys may be written in any
// case; unknown ones are passed over, as SDKs do. Errors name the key and never quote a value, since any of them may hold a secret.
func ParseConnectionString(s string) (ConnectionString, error) {
	values, err := splitConnectionString(s)
	if err != nil {
		return ConnectionString{}, err
	}
	c := ConnectionString{
		KeyName:    values["sharedaccesskeyname"],
		Key:        values["sharedaccesskey"],
		Signature:  values["sharedaccesssignature"],
		EntityPath: values["entitypath"],
	}
	if c.Host, err = parseEndpoint(values["endpoint"]); err != nil {
		return ConnectionString{}, err
	}
	if flag := values["usedevelopmentemulator"]; flag != "" {
		if c.Emulator, err = strconv.ParseBool(strings.ToLower(flag)); err != nil {
			return ConnectionString{}, errors.New("connection string: UseDevelopmentEmulator is neither true nor false")
		}
	}
	return c, c.checkCredential()
}

// splitConnectionString gives the values under their keys in lower case.
func splitConnectionString(s string) (map[string]string, error) {
	values := make(map[string]string)
	n := 0
	for part := range strings.SplitSeq(s, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		n++
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf(`connection string: part %d has no "="; parts are key=value, separated by semicolons`, n)
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("connection string: part %d gives a key for the second time", n)
		}
		values[key] = strings.TrimSpace(value)
	}
	return values, nil
}

// parseEndpoint takes the schemes that SDKs take: container modules write http.
func parseEndpoint(endpoint string) (host string, err error) {
	if endpoint == "" {
		return "", errors.New("connection string: Endpoint is missing; it looks like Endpoint=sb://host")
	}
	u, err := url.Parse(endpoint)
	if err != nil || !slices.Contains([]string{"sb", "amqp", "amqps", "http", "https"}, u.Scheme) || u.Host == "" || u.User != nil || strings.ContainsFunc(u.Host, notOfHost) {
		return "", errors.New("connection string: Endpoint is not sb://host or sb://host:port")
	}
	if strings.Trim(u.Path, "/") != "" {
		return "", errors.New("connection string: Endpoint has a path; the hub's name goes into EntityPath")
	}
	return u.Host, nil
}

// notOfHost catches a forgotten semicolon: net/url takes "host,SharedAccessKey=.." for a host, and hosts are printed.
func notOfHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:[]", r))
}

func (c ConnectionString) checkCredential() error {
	named, keyed, signed := c.KeyName != "", c.Key != "", c.Signature != ""
	switch {
	case named && !keyed && !signed:
		return errors.New("connection string: SharedAccessKey is missing beside SharedAccessKeyName")
	case keyed && !named:
		return errors.New("connection string: SharedAccessKeyName is missing beside SharedAccessKey")
	case keyed && signed:
		return errors.New("connection string: it has both SharedAccessKey and SharedAccessSignature; give one")
	case !keyed && !signed:
		return errors.New("connection string: no credential; give SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature")
	}
	return nil
}

// Encode writes the connection string with its secrets, in the order of the official emulator's documentation.
func (c ConnectionString) Encode() string {
	var b strings.Builder
	write := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + value + ";")
		}
	}
	write("Endpoint", "sb://"+c.Host)
	write("SharedAccessKeyName", c.KeyName)
	write("SharedAccessKey", c.Key)
	write("SharedAccessSignature", c.Signature)
	if c.Emulator {
		write("UseDevelopmentEmulator", "true") // JavaScript's SDK wants lower case
	}
	write("EntityPath", c.EntityPath)
	return b.String()
}

// String writes *** for the secrets.
func (c ConnectionString) String() string {
	if c.Key != "" {
		c.Key = "***"
	}
	if c.Signature != "" {
		c.Signature = "***"
	}
	return c.Encode()
}

// MarshalText keeps the secrets out of JSON and of logs.
func (c ConnectionString) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// GoString keeps the secrets out of %#v.
func (c ConnectionString) GoString() string { return c.String() }
