package jwt

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

func pemOf(t testing.TB, kind, name string) string {
	t.Helper()
	var der []byte
	var err error
	switch k := keyPairs()[name]; kind {
	case "PUBLIC KEY":
		der, err = x509.MarshalPKIXPublicKey(k.Public())
	case "RSA PUBLIC KEY":
		der = x509.MarshalPKCS1PublicKey(k.Public().(*rsa.PublicKey))
	case "CERTIFICATE":
		der = selfSigned(t, k)
	case "PRIVATE KEY":
		der, err = x509.MarshalPKCS8PrivateKey(k)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Each set holds one good key besides, which must stay.
func TestKeysPassedOver(t *testing.T) {
	t.Parallel()
	k := keyPairs()
	ec, rsaKey := k["ec"].Public(), k["rsa"].Public()
	for _, tt := range []struct {
		name string
		keys []string
		want string // in the reason; "": the key is taken
	}{
		{"alg and use", []string{jwk(t, ec, "x", `,"alg":"ES256","use":"sig"`)}, ""},
		{"key_ops", []string{jwk(t, ec, "x", `,"key_ops":["sign","verify"]`)}, ""},
		{"the same key twice", []string{jwk(t, ec, "x", ""), jwk(t, ec, "x", `,"alg":"ES256"`)}, ""},
		{"certificates that cannot be read", []string{jwk(t, ec, "x", `,"x5c":["AAAA"],"x5u":":"`)}, ""},
		{"unknown members", []string{jwk(t, ec, "x", `,"issuer":"https://a","exp":1`)}, ""},
		{"kid of 128 bytes", []string{strings.Replace(jwk(t, ec, "x", ""), `"x"`, quote(strings.Repeat("x", 128)), 1)}, ""},
		{"two keys with a kid", []string{jwk(t, ec, "x", ""), jwk(t, rsaKey, "x", "")}, "2 different keys"},
		{"three keys with a kid, two the same", []string{jwk(t, ec, "x", ""), jwk(t, rsaKey, "x", ""), jwk(t, ec, "x", "")}, "3 different keys"},
		{"one key for two algorithms", []string{jwk(t, rsaKey, "x", `,"alg":"RS256"`), jwk(t, rsaKey, "x", `,"alg":"PS256"`)}, "2 different keys"},
		{"no kid", []string{jwk(t, ec, "", "")}, "kid does not have"},
		{"long kid", []string{jwk(t, ec, strings.Repeat("x", 129), "")}, "kid does not have"},
		{"kid a number", []string{jwk(t, ec, "", `,"kid":1`)}, "kid is not of the form"},
		{"use enc", []string{jwk(t, ec, "x", `,"use":"enc"`)}, "by use or key_ops"},
		{"use in capitals", []string{jwk(t, ec, "x", `,"use":"SIG"`)}, "by use or key_ops"},
		{"key_ops without verify", []string{jwk(t, ec, "x", `,"key_ops":["encrypt"]`)}, "by use or key_ops"},
		{"key_ops a string", []string{jwk(t, ec, "x", `,"key_ops":{}`)}, "key_ops is not of the form"},
		{"symmetric", []string{`{"kty":"oct","kid":"x","k":"AAAA"}`}, "kty is not"},
		{"kty unknown", []string{`{"kty":"AKP","kid":"x","alg":"ML-DSA-44"}`}, "kty is not"},
		{"kty absent", []string{`{"kid":"x"}`}, "kty is not"},
		{"private", []string{jwk(t, ec, "x", `,"d":"AAAA"`)}, "private part"},
		{"RSA of 1024 bits", []string{jwk(t, k["weak"].Public(), "x", "")}, "1024 bits"},
		{"RSA of 8192 bits", []string{`{"kty":"RSA","kid":"x","e":"AQAB","n":"` + strings.Repeat("_", 1364) + `"}`}, "modulus too large"},
		{"RSA exponent 1", []string{strings.Replace(jwk(t, rsaKey, "x", ""), `"AQAB"`, `"AQ"`, 1)}, "bad e value"},
		{"RSA exponent even", []string{strings.Replace(jwk(t, rsaKey, "x", ""), `"AQAB"`, `"AQAC"`, 1)}, "exponent 65538"},
		{"EC point not on the curve", []string{`{"kty":"EC","kid":"x","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`}, "cannot be read"},
		{"EC without y", []string{strings.Replace(jwk(t, ec, "x", ""), `"y"`, `"z"`, 1)}, "cannot be read"},
		{"curve unknown", []string{strings.Replace(jwk(t, ec, "x", ""), `"P-256"`, `"secp256k1"`, 1)}, "cannot be read"},
		{"X25519", []string{strings.Replace(jwk(t, k["ed"].Public(), "x", ""), `"Ed25519"`, `"X25519"`, 1)}, "cannot be read"},
		{"curve not allowed", []string{jwk(t, k["p384"].Public(), "x", "")}, "no algorithm of P-384 keys"},
		{"algorithm not allowed", []string{jwk(t, rsaKey, "x", `,"alg":"RS512"`)}, `"RS512" is not allowed`},
		{"algorithm of encryption", []string{jwk(t, rsaKey, "x", `,"alg":"RSA-OAEP"`)}, `"RSA-OAEP" is not allowed`},
		{"algorithm HS256", []string{jwk(t, rsaKey, "x", `,"alg":"HS256"`)}, `"HS256" is not allowed`},
		{"algorithm of another kind of key", []string{jwk(t, ec, "x", `,"alg":"RS256"`)}, "RS256 is not for P-256 keys"},
		{"kid and KID", []string{jwk(t, ec, "x", `,"KID":"y"`)}, "two members"},
		{"not an object", []string{`[]`}, "not a JSON object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			keys := append(tt.keys, jwk(t, k["second ec"].Public(), "good", ""))
			set, err := parseJWKS(jwks(keys...), []string{"RS256", "PS256", "ES256", "EdDSA"})
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys("good")) != 1 {
				t.Error("the good key is gone")
			}
			if why := strings.Join(set.ignored, "; "); tt.want == "" && (why != "" || set.size() != 2) || tt.want != "" && (!strings.Contains(why, tt.want) || set.size() != 1) {
				t.Errorf("%d keys, passed over %q, want %q", set.size(), why, tt.want)
			}
		})
	}
}

// FuzzParseKeys reads what an issuer or a file may say. What is taken can be used: one algorithm that is allowed, and a key of its kind.
func FuzzParseKeys(f *testing.F) {
	f.Add(publicSet(f))
	f.Add([]byte(pemOf(f, "PUBLIC KEY", "ec") + pemOf(f, "CERTIFICATE", "ec")))
	f.Add(jwks(`{"kty":"RSA","kid":"a","n":"","e":""}`, `{"kty":"EC","kid":"b","crv":"P-256","x":"","y":""}`, `{"kty":"OKP","kid":"c","crv":"Ed25519","x":""}`))
	allowed := []string{"RS256", "ES256", "EdDSA"}
	f.Fuzz(func(t *testing.T, in []byte) {
		set, err := parseKeyFile(in, allowed)
		if err != nil {
			return
		}
		taken := set.unnamed
		for kid, keys := range set.named {
			if kid == "" || len(keys) != 1 {
				t.Errorf("%d keys have the kid %q", len(keys), kid)
			}
			taken = append(taken, keys...)
		}
		for _, k := range taken {
			if kind, err := kindOfKey(k.public); err != nil || algorithms[k.algorithm] != kind || !slices.Contains(allowed, k.algorithm) {
				t.Errorf("%s key for %s: %v", kind, k.algorithm, err)
			}
		}
	})
}
