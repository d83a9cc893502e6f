package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/gatewayfile"
)

// writePair puts a new self-signed certificate of that name where t says, changed at a time.
func writePair(t *testing.T, files *gatewayfile.TLS, name string, changed time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.Certificate: {Type: "CERTIFICATE", Bytes: certificate}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := &gatewayfile.TLS{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		writePair(t, files, "old.example", time.Now())
		config, err := serverTLS(files, clock.System, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		served := func() string {
			pair, err := config.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.Subject.CommonName
		}
		step := func(what, want string) {
			t.Helper()
			time.Sleep(lookTime)
			if got := served(); got != want {
				t.Errorf("%s: %s is served, want %s", what, got, want)
			}
		}
		step("unchanged", "old.example")
		if err := os.WriteFile(files.Key, []byte("half of a"), 0o600); err != nil {
			t.Fatal(err)
		}
		step("a key that is being written", "old.example")
		writePair(t, files, "new.example", time.Now())
		step("replaced", "new.example")
		if err := os.Remove(files.Certificate); err != nil {
			t.Fatal(err)
		}
		step("removed", "new.example")
	})
	if said := log.String(); strings.Count(said, "cannot be used") != 2 || strings.Count(said, "was replaced") != 1 {
		t.Errorf("the log: %s", said)
	}
	if _, err := serverTLS(files, clock.System, nil); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("without a certificate: %v", err)
	}
}
