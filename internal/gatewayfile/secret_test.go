package gatewayfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsPrintAsStars(t *testing.T) {
	t.Parallel()
	c := parseExample(t)
	sasl := c.Targets["kafka"].Kafka.SASL
	asJSON, err := json.Marshal(sasl)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", sasl.Password, "all", sasl)
	texts := []string{string(asJSON), log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, sasl.Password), fmt.Sprintf(verb, *sasl))
	}
	for _, text := range texts {
		if !strings.Contains(text, "***") || strings.Contains(text, "KAFKA_PASSWORD") {
			t.Errorf("printed: %s", text)
		}
	}
	if text := fmt.Sprintf("%v", Secret{}); text != "" {
		t.Errorf("no secret prints as %q", text)
	}
}

func TestSecretValue(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "s", "one\r\n")
	s := Secret{file: path}
	for _, want := range []string{"one", "two"} {
		write(t, dir, "s", want+"\n")
		if got, err := s.Value(); got != want || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	t.Setenv("EVHUB_TEST_SECRET", "three")
	if got, err := (Secret{env: "EVHUB_TEST_SECRET"}).Value(); got != "three" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	empty, long := write(t, dir, "empty", "\n"), write(t, dir, "long", strings.Repeat("x", secretBytesMax+1))
	for want, s := range map[string]Secret{
		"the environment variable EVHUB_TEST_NONE is not set, or empty":                        {env: "EVHUB_TEST_NONE"},
		fmt.Sprintf("the secret's file %q: there is no such file", filepath.Join(dir, "none")): {file: filepath.Join(dir, "none")},
		fmt.Sprintf("the secret's file %q is empty", empty):                                    {file: empty},
		fmt.Sprintf("the secret's file %q: is longer than 64KiB", long):                        {file: long},
		fmt.Sprintf("the secret's file %q: is a directory", dir):                               {file: dir},
		"no secret is given": {},
	} {
		if _, err := s.Value(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

const azureString = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=hunter2=;EntityPath=orders"

func TestConnectionStrings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const local = "Endpoint=sb://localhost:5672;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;"
	const azurite = "SharedAccessKeyName=devstoreaccount1;SharedAccessKey=" +
		"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
	const public = "the key of the connection string is the public development key, which everybody knows: it is for a broker on this machine only, " +
		"and this is %s; give a policy with a key of your own"
	for n, c := range []struct {
		name, text string
		broker     bool
		want       string // "": taken
	}{
		{"a namespace's", azureString, false, ""},
		{"a broker here with the public key", local + "UseDevelopmentEmulator=true", true, ""},
		{"a broker elsewhere with its own key", "Endpoint=sb://b;SharedAccessKeyName=p;SharedAccessKey=hunter2;UseDevelopmentEmulator=true", true, ""},
		{"a broker elsewhere with the public key", "Endpoint=sb://b:1;" + azurite + "UseDevelopmentEmulator=true", true, fmt.Sprintf(public, "b:1")},
		{"a namespace with the public key", "Endpoint=sb://b;" + azurite, false, fmt.Sprintf(public, "b")},
		{"a namespace of this machine with the public key", local, false, fmt.Sprintf(public, "localhost:5672")},
		{"a broker with TLS", azureString, true,
			"the connection string has no UseDevelopmentEmulator=true, without which TLS is spoken; add it, or make the target an eventHubs"},
		{"a namespace without TLS", azureString + ";UseDevelopmentEmulator=true", false,
			"the connection string has UseDevelopmentEmulator=true, which turns TLS off; take it out, or make the target a broker"},
		{"nonsense", "hunter2", false, `connection string: part 1 has no "="; parts are key=value, separated by semicolons`},
	} {
		secret := Secret{file: write(t, dir, fmt.Sprint(n), c.text)}
		target := Target{EventHubs: &EventHubs{ConnectionString: secret}}
		if c.broker {
			target = Target{Broker: &Broker{ConnectionString: secret}}
		}
		_, err := target.ConnectionString()
		if got := fmt.Sprint(err); c.want != got && (err != nil || c.want != "") {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
	target := Target{Broker: &Broker{Address: "127.0.0.1:5672"}}
	if c, err := target.ConnectionString(); err != nil || c.Encode() != strings.Replace(local, "localhost", "127.0.0.1", 1)+"UseDevelopmentEmulator=true;" {
		t.Errorf("got %v, %v", c, err)
	}
}

// selfSigned gives a certificate and its key.
func selfSigned(t testing.TB) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", keyDER)
}

const loadable = `
listeners:
  api: {tls: {certificate: tls.crt, key: tls.key}}
targets:
  a: {eventHubs: {connectionString: "${file:a}", caFile: ca.pem}}
  b: {broker: {connectionString: "${env:EVHUB_TEST_BROKER}"}}
  k: {kafka: {brokers: ["k:1"], tls: {caFile: kafka.pem}, sasl: {mechanism: PLAIN, username: u, password: "${file:password}"}}}
routes: {a: {target: a}, b: {target: b}, k: {target: k}}
issuers: [{url: i, keysFile: keys.json, audiences: [a]}]
rules: [{issuer: i, kind: any, claim: c, value: v, hubs: ["*"]}]
`

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "gateway.yaml", loadable)
	_, err := Load(path)
	var got []string
	if err != nil {
		got = strings.Split(strings.ReplaceAll(err.Error(), dir, "DIR"), "\n")
	}
	const file = "DIR/gateway.yaml:"
	want := []string{
		file + `3:14: listeners.api.tls: the certificate or its key cannot be used: open DIR/tls.crt: no such file or directory`,
		file + `5:37: targets.a.eventHubs.connectionString: the secret's file "DIR/a": there is no such file`,
		file + `5:58: targets.a.eventHubs.caFile: "DIR/ca.pem": there is no such file`,
		file + `6:34: targets.b.broker.connectionString: the environment variable EVHUB_TEST_BROKER is not set, or empty`,
		file + `7:47: targets.k.kafka.tls.caFile: "DIR/kafka.pem": there is no such file`,
		file + `7:107: targets.k.kafka.sasl.password: the secret's file "DIR/password": there is no such file`,
		file + `9:30: issuers[0].keysFile: "DIR/keys.json": there is no such file`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	certificate, key := selfSigned(t)
	t.Setenv("EVHUB_TEST_BROKER", "Endpoint=sb://b;SharedAccessKeyName=p;SharedAccessKey=hunter2;UseDevelopmentEmulator=true")
	for name, text := range map[string]string{
		"a": azureString, "ca.pem": certificate, "kafka.pem": "no PEM", "password": "hunter2", "keys.json": testKeys, "tls.crt": certificate, "tls.key": key,
	} {
		write(t, dir, name, text)
	}
	if _, err := Load(path); err == nil || !strings.HasSuffix(err.Error(), `kafka.pem" has no certificate in PEM form`) {
		t.Errorf("got %v", err)
	}
	write(t, dir, "kafka.pem", certificate)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Targets["a"]
	if cs, err := a.ConnectionString(); err != nil || cs.EntityPath != "orders" {
		t.Errorf("got %v, %v", cs, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c.Targets); strings.Contains(text, "hunter2") {
		t.Error("a printed configuration shows a secret")
	}
	for name, want := range map[string]string{dir: "is a directory", filepath.Join(dir, "none"): "there is no such file"} {
		if _, err := Load(name); err == nil || err.Error() != name+": "+want {
			t.Errorf("got %v", err)
		}
	}
}
