package jwt

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	other "github.com/golang-jwt/jwt/v5"

	"github.com/evhub-dev/evhub/internal/clock"
)

func fuzzVerifier(f *testing.F) *Verifier {
	return newVerifier(f, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(f)}},
		Rules:   []Rule{sendRule(), {Issuer: issuerURL, Kind: Any, Claim: "a.b", Value: "*", Hubs: []string{"*"}, Actions: []Action{Send}}},
		Clock:   still{clock.System, now}, Client: noNetwork(f), CacheEntries: -1,
	})
}

// FuzzHeader gives the whole pipeline what comes in. Nobody can guess a signature, so what is accepted was signed below, perhaps with another
// signature that is as good.
func FuzzHeader(f *testing.F) {
	v := fuzzVerifier(f)
	wasSigned := make(map[string]bool)
	for _, a := range attacks {
		if a.signer != "" && a.signer != "ed EdDSA" {
			continue
		}
		forge := newForge(f, "ec", "ES256", now)
		if a.signer != "" {
			forge = newForge(f, "ed", "EdDSA", now)
		}
		wasSigned[signingInput(forge.text())] = true
		a.change(forge)
		if headers := forge.headers(); len(headers) == 1 && len(headers[0]) < 2*tokenBytesMax {
			wasSigned[signingInput(forge.text())] = true
			f.Add(headers[0])
		}
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		p, err := v.Verify(context.Background(), []string{authorization})
		if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Text == "" || e.Status != 401 || e.Reason == 0) {
			t.Fatalf("%#v", err)
		}
		if err == nil && (p.ID() == "" || !wasSigned[signingInput(strings.TrimLeft(authorization[len("Bearer"):], " "))]) {
			t.Fatalf("accepted: %q", authorization)
		}
	})
}

func signingInput(compact string) string {
	return compact[:max(0, strings.LastIndexByte(compact, '.'))]
}

// FuzzSigned signs whatever it is given, so that it reaches what lies behind the signature. What we accept golang-jwt accepts as well, and
// reads as the same.
func FuzzSigned(f *testing.F) {
	v := fuzzVerifier(f)
	for _, a := range attacks {
		if forge := newForge(f, "ed", "EdDSA", now); a.signer == "" {
			a.change(forge)
			if forge.headerText == "" {
				forge.headerText = forge.header.String()
			}
			if forge.payloadText == "" {
				forge.payloadText = forge.claims.String()
			}
			f.Add(forge.headerText, forge.payloadText)
		}
	}
	parser := other.NewParser(other.WithIssuer(issuerURL), other.WithAudience(audience), other.WithLeeway(30*time.Second),
		other.WithExpirationRequired(), other.WithIssuedAt(), other.WithTimeFunc(func() time.Time { return now }))
	f.Fuzz(func(t *testing.T, header, payload string) {
		compact := signed(t, header, payload, "EdDSA", keyPairs()["ed"])
		p, err := verify(v, compact)
		if err != nil {
			return
		}
		p.Allows("orders", Send)
		p.Refuse("orders", Send)
		var claims other.MapClaims
		if _, err := parser.ParseWithClaims(compact, &claims, func(*other.Token) (any, error) { return keyPairs()["ed"].Public(), nil }); err != nil {
			t.Fatalf("golang-jwt refuses what we accept: %v", err)
		}
		if sub, _ := claims["sub"].(string); sub != p.Subject || claims["iss"] != p.Issuer {
			t.Fatalf("golang-jwt reads sub %q, we %q", sub, p.Subject)
		}
	})
}
