package deploy_test

import (
	"crypto"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySet is what an issuer publishes that has one key.
func keySet(t *testing.T, public crypto.PublicKey, kid string) []byte {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: kid, Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sign makes a token of these claims that is valid for an hour from now, whatever times they say.
func sign(t *testing.T, key crypto.Signer, header, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(header["typ"].(string))).WithHeader("kid", header["kid"])
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(header["alg"].(string)), Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	claims = maps.Clone(claims)
	now := time.Now().Unix()
	claims["iat"], claims["nbf"], claims["exp"] = now, now, now+3600
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
