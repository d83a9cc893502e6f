package gatewayfile

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/auth/jwt"
	"github.com/evhub-dev/evhub/internal/setting"
)

const caBytesMax = 4 << 20 // a system's bundle has some 250 KiB

// HasConnectionString tells whether the target is reached by one.
func (t *Target) HasConnectionString() bool {
	return t.Broker != nil || t.EventHubs != nil && !t.EventHubs.ConnectionString.IsZero()
}

// ConnectionString reads and checks the connection string of an Event Hubs or broker target. It may be another the next time. Errors tell no
// part of it that is secret.
func (t *Target) ConnectionString() (auth.ConnectionString, error) {
	secret := Secret{}
	switch {
	case t.Broker != nil && t.Broker.Address != "":
		return auth.ConnectionString{Host: t.Broker.Address, KeyName: auth.RootKeyName, Key: auth.RootKey, Emulator: true}, nil
	case t.Broker != nil:
		secret = t.Broker.ConnectionString
	case t.EventHubs != nil:
		secret = t.EventHubs.ConnectionString
	}
	text, err := secret.Value()
	if err != nil {
		return auth.ConnectionString{}, err
	}
	c, err := auth.ParseConnectionString(text)
	if err != nil {
		return auth.ConnectionString{}, err
	}
	return c, t.checkConnection(c)
}

func (t *Target) checkConnection(c auth.ConnectionString) error {
	public := c.Key == auth.RootKey || c.Key == auth.AzuriteAccountKey
	host, _, err := splitAddress(c.Host)
	if err != nil {
		host = c.Host
	}
	switch {
	case t.Broker != nil && !c.Emulator:
		return errors.New("the connection string has no UseDevelopmentEmulator=true, without which TLS is spoken; add it, or make the target an eventHubs")
	case t.Broker == nil && c.Emulator:
		return errors.New("the connection string has UseDevelopmentEmulator=true, which turns TLS off; take it out, or make the target a broker")
	case public && !(c.Emulator && isLoopback(host)):
		return fmt.Errorf("the key of the connection string is the public development key, which everybody knows: "+
			"it is for a broker on this machine only, and this is %s; give a policy with a key of your own", c.Host)
	}
	return nil
}

// RootCAs gives the system's authorities and those of a PEM file; nil, which is the system's, for "".
func RootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := setting.ReadFile(file, caBytesMax)
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w", file, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // a container without any
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%.200q has no certificate in PEM form", file)
	}
	return pool, nil
}

// checkReferences reads all that the file refers to.
func (d *decoder) checkReferences(c *Config) {
	if t := c.Listeners.API.TLS; t != nil && t.Certificate != "" {
		if _, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err != nil {
			d.failAt("listeners.api.tls", "the certificate or its key cannot be used: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		t := c.Targets[name]
		d.checkTargetReferences(&t, join("targets", name))
	}
	for n := range c.Issuers {
		if file := c.Issuers[n].KeysFile; file != "" {
			if err := jwt.CheckKeysFile(c.Issuers[n].issuers()[0]); err != nil {
				d.failAt(join(item("issuers", n), "keysFile"), "%.200q: %s", file, strings.TrimPrefix(setting.WithoutPath(err).Error(), file+": "))
			}
		}
	}
}

func (d *decoder) checkTargetReferences(t *Target, path string) {
	switch {
	case t.EventHubs != nil:
		path = join(path, "eventHubs")
		d.checkCAFile(t.EventHubs.CAFile, path)
	case t.Broker != nil:
		path = join(path, "broker")
	case t.Kafka.TLS != nil:
		d.checkCAFile(t.Kafka.TLS.CAFile, join(join(path, "kafka"), "tls"))
	}
	if t.HasConnectionString() {
		if _, err := t.ConnectionString(); err != nil {
			d.failAt(join(path, "connectionString"), "%s", err)
		}
	}
	if t.Kafka != nil && t.Kafka.SASL != nil {
		if _, err := t.Kafka.SASL.Password.Value(); err != nil {
			d.failAt(join(join(join(path, "kafka"), "sasl"), "password"), "%s", err)
		}
	}
}

func (d *decoder) checkCAFile(file, path string) {
	if _, err := RootCAs(file); err != nil {
		d.failAt(join(path, "caFile"), "%s", err)
	}
}
