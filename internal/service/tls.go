package service

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

// lookTime is how long a certificate is used before its files are looked at again.
const lookTime = 10 * time.Second

// serverTLS is nil where this service does not end TLS.
func serverTLS(t *gatewayfile.TLS, c clock.Clock, log *slog.Logger) (*tls.Config, error) {
	if t == nil || t.Certificate == "" {
		return nil, nil
	}
	pair := &certificate{t: t, clock: c, log: log}
	if err := pair.load(); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: pair.current, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// certificate is a pair of files that somebody may replace while they are in use.
type certificate struct {
	t     *gatewayfile.TLS
	clock clock.Clock
	log   *slog.Logger

	mu     sync.Mutex // guards what follows
	pair   *tls.Certificate
	seen   [2]time.Time // when the files were changed
	looked time.Time
}

// current is the certificate for one handshake. A pair that cannot be read, such as one that is being replaced, leaves the old one in use.
func (p *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.clock.Now(); now.Sub(p.looked) >= lookTime {
		if err := p.load(); err != nil {
			p.looked = now
			p.log.Error("the new certificate cannot be used; going on with the old one", "err", err)
		}
	}
	return p.pair, nil
}

// load reads the files if they have changed. The caller has mu, or is the only one.
func (p *certificate) load() error {
	now := p.clock.Now()
	var changed [2]time.Time
	for i, path := range []string{p.t.Certificate, p.t.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("listeners.api.tls: %w", err)
		}
		changed[i] = info.ModTime()
	}
	if p.pair != nil && changed == p.seen {
		p.looked = now
		return nil
	}
	pair, err := tls.LoadX509KeyPair(p.t.Certificate, p.t.Key)
	if err != nil {
		return fmt.Errorf("listeners.api.tls: %w", err)
	}
	if p.pair != nil {
		p.log.Info("the certificate was replaced", "file", p.t.Certificate)
	}
	p.pair, p.seen, p.looked = &pair, changed, now
	return nil
}
