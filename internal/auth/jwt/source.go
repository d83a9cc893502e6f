package jwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

const (
	fetchTimeMax   = 5 * time.Second
	redirectsMax   = 3
	freshDefault   = 10 * time.Minute // of a fetched set
	freshMin       = time.Minute
	freshMax       = time.Hour
	freshFile      = 5 * time.Second
	discoveryFresh = time.Hour // an address of keys that is older is looked up again with the keys
	discoveryRetry = 10 * time.Minute
	addressAgeMax  = 24 * time.Hour // of an address of keys that cannot be looked up again
)

// source is where the keys of an issuer come from. It is used by one goroutine.
type source interface {
	// load gives the keys as they are now, and how long they need not be looked at again.
	load(context.Context) (*keySet, time.Duration, error)
}

// file is a source that is read again and again: sets are small, and content is a better sign of change than a file's time.
type file struct {
	path    string
	allowed []string
}

func (f *file) load(context.Context) (*keySet, time.Duration, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	data, err := readAll(in)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", f.path, err)
	}
	set, err := parseKeyFile(data, f.allowed)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", f.path, err)
	}
	return set, freshFile, nil
}

// CheckKeysFile says why New would not take the issuer's KeysFile.
func CheckKeysFile(i Issuer) error {
	if i.Algorithms == nil {
		i.Algorithms = algorithmsDefault()
	}
	set, _, err := (&file{path: i.KeysFile, allowed: i.Algorithms}).load(context.Background())
	if err != nil {
		return err
	}
	return set.checkUsable()
}

func readAll(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, setBytesMax+1))
	if err == nil && len(data) > setBytesMax {
		err = fmt.Errorf("has more than the %d bytes that are read", setBytesMax)
	}
	return data, err
}

// remote is a source over HTTP.
type remote struct {
	issuer   string
	allowed  []string
	insecure bool
	client   *http.Client
	clock    clock.Clock
	log      *slog.Logger

	discover   bool      // the address is looked up in the issuer's metadata
	address    string    // of the keys, by the last metadata that could be had; "": by none yet
	discovered time.Time // when those were had
	lookUpAt   time.Time // when to look it up again
}

func (r *remote) load(ctx context.Context) (*keySet, time.Duration, error) {
	lost, err := r.findAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	body, header, err := r.fetch(ctx, r.address)
	if err != nil {
		r.lookUpAt = time.Time{} // they may have moved
		return nil, 0, errors.Join(lost, err)
	}
	if lost != nil {
		r.log.Warn("metadata of an issuer cannot be had; its keys are taken from where they were", "issuer", r.issuer, "keys", r.address,
			"until", r.discovered.Add(addressAgeMax), "err", lost)
	}
	set, err := parseJWKS(body, r.allowed)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", r.address, err)
	}
	return set, freshFor(header), nil
}

// findAddress sees to it that there is an address of keys. The last one that could be looked up is good for addressAgeMax: while it is used
// beyond its time, lost says why there is no newer one.
func (r *remote) findAddress(ctx context.Context) (lost, err error) {
	now := r.clock.Now()
	if !r.discover || now.Before(r.lookUpAt) {
		return nil, nil
	}
	address, err := r.lookUp(ctx)
	switch {
	case err == nil:
		r.address, r.discovered, r.lookUpAt = address, now, now.Add(discoveryFresh)
		return nil, nil
	case r.address == "" || now.Sub(r.discovered) > addressAgeMax:
		return nil, err
	}
	r.lookUpAt = now.Add(discoveryRetry)
	return err, nil
}

// lookUp finds the address of the keys in the metadata that OpenID Connect Discovery 1.0 (section 4) or RFC 8414 (section 3) describe.
func (r *remote) lookUp(ctx context.Context) (string, error) {
	u, err := url.Parse(r.issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	host := u.Scheme + "://" + u.Host
	var failures []error
	for _, address := range []string{
		host + path + "/.well-known/openid-configuration",
		host + "/.well-known/oauth-authorization-server" + path,
	} {
		body, _, err := r.fetch(ctx, address)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		keys, err := r.readMetadata(body)
		if err != nil {
			return "", fmt.Errorf("%s: %w", address, err)
		}
		return keys, nil
	}
	return "", errors.Join(failures...)
}

func (r *remote) readMetadata(body []byte) (string, error) {
	document, err := parseObject(body)
	if err != nil {
		return "", fmt.Errorf("the document %w", err)
	}
	f := fields{object: document}
	issuer, keys := f.text("issuer"), f.text("jwks_uri")
	switch {
	case issuer != r.issuer:
		return "", fmt.Errorf("issuer is %.200q and not %q, to the letter", issuer, r.issuer)
	case keys == "":
		return "", errors.New("has no jwks_uri")
	}
	if err := checkAddress(keys, r.insecure); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return keys, nil
}

func (r *remote) fetch(ctx context.Context, address string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeMax)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, nil, err // names the address
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answered %d", address, response.StatusCode)
	}
	body, err := readAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", address, err)
	}
	return body, response.Header, nil
}

// freshFor is the max-age of an answer, within bounds. What may not be stored is asked for as often as we ask at all.
func freshFor(header http.Header) time.Duration {
	fresh := freshDefault
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return freshMin
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
				fresh = min(max(time.Duration(seconds)*time.Second, freshMin), freshMax)
			}
		}
	}
	return fresh
}

// limited gives a client that follows redirects only where the address was trusted already, and sends no cookies.
func limited(client *http.Client) *http.Client {
	own := *client
	own.Jar = nil
	own.CheckRedirect = func(request *http.Request, via []*http.Request) error {
		first := via[0].URL
		if request.URL.Scheme != first.Scheme || request.URL.Host != first.Host {
			return fmt.Errorf("it redirects to %s://%s, which is another host", request.URL.Scheme, request.URL.Host)
		}
		if len(via) > redirectsMax {
			return errors.New("it redirects too often")
		}
		return nil
	}
	return &own
}

// newClient is for fetches that are minutes apart, so it keeps no connections.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}
