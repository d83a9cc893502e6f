package gatewayfile

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeyFiles wants a key file refused by Load if the service could not start with it.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public())
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for _, row := range []struct {
		name, content, algorithms string
		problem                   string // "": none
	}{
		{"good", key, "[EdDSA]", ""},
		{"garbage", "garbage", "[EdDSA]", "the file is neither a JWK set nor has it a PEM block with a key"},
		{"keys of another kind", key, "[RS256]", "no algorithm of Ed25519 keys is allowed for this issuer"},
		{"no key", `{"keys": []}`, "[EdDSA]", "the key set has no key that can be used"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			text := fmt.Sprintf(`
targets: {b: {broker: {address: "127.0.0.1:5672"}}}
routes: {h: {target: b}}
issuers: [{url: i, keysFile: k.pem, audiences: [a], algorithms: %s}]
rules: [{issuer: i, kind: app, claim: roles, value: v, hubs: [h]}]
`, row.algorithms)
			for name, content := range map[string]string{"g.yaml": text, "k.pem": row.content} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(filepath.Join(dir, "g.yaml"))
			switch {
			case row.problem == "" && err != nil:
				t.Error(err)
			case row.problem != "" && (err == nil || !strings.Contains(err.Error(), "issuers[0].keysFile") || !strings.Contains(err.Error(), row.problem)):
				t.Errorf("got %v, want %s", err, row.problem)
			}
		})
	}
}

// TestLeeway wants 0s refused, since it would not be what the verifier takes 0 for.
func TestLeeway(t *testing.T) {
	t.Parallel()
	const file = `
targets: {b: {broker: {address: "127.0.0.1:5672"}}}
routes: {h: {target: b}}
issuers: [{url: "https://i.example", audiences: [a], leeway: %s}]
rules: [{issuer: "https://i.example", kind: app, claim: roles, value: v, hubs: [h]}]
`
	for leeway, good := range map[string]bool{"0s": false, "1s": true, "1m": true, "61s": false} {
		_, err := Parse("g.yaml", fmt.Appendf(nil, file, leeway))
		if (err == nil) != good || !good && !strings.Contains(err.Error(), "issuers[0].leeway") {
			t.Errorf("%s: %v", leeway, err)
		}
	}
}
