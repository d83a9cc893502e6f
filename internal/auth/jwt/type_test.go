package jwt

import (
	"errors"
	"testing"
	"time"
)

// TestIDTokenOfNoIssuerType wants an ID token that has roles refused, whatever typ its issuer is said to write.
func TestIDTokenOfNoIssuerType(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, issuerType := range []string{"", "JWT", "at+jwt"} {
		v := newVerifier(t, Options{
			Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t), Type: issuerType}},
			Rules:   []Rule{{Issuer: issuerURL, Kind: Any, Claim: "roles", Value: "Events.Send", Hubs: []string{"*"}, Actions: []Action{Send}}},
			Clock:   still{now: now},
		})
		f := newForge(t, "rsa", "RS256", now)
		f.header.set("typ", `"JWT"`)
		f.claims.remove("scope")
		f.claims.remove("client_id")
		f.claims.add("nonce", `"n-1"`)
		f.claims.add("at_hash", `"abc"`)
		f.claims.add("roles", `["Events.Send"]`)
		_, err := verify(v, f.text())
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != WrongType {
			t.Errorf("type %q: %v", issuerType, err)
		}
	}
}

// TestForgedTokenIsRemembered wants a repeated forgery refused without another check, for a while, and its kin looked at.
func TestForgedTokenIsRemembered(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}},
		Rules:   []Rule{{Issuer: issuerURL, Kind: Any, Claim: "scope", Value: "events.send", Hubs: []string{"*"}, Actions: []Action{Send}}},
	})
	text := newForge(t, "rsa", "RS256", time.Now()).text()
	forged := text[:len(text)-8] + "AAAAAAAA"
	header := []string{"Bearer " + forged}
	if p, err := v.Remembered(header); p != nil || err != nil {
		t.Errorf("before it was seen: %v, %v", p, err)
	}
	if _, err := verify(v, forged); err == nil {
		t.Fatal("a forged token is taken")
	}
	p, err := v.Remembered(header)
	if e, ok := errors.AsType[*Error](err); p != nil || !ok || e.Reason != BadSignature || !e.TookWork() {
		t.Errorf("a repeated one: %v, %v", p, err)
	}
	if n := v.Stats().Refused[BadSignature]; n != 2 {
		t.Errorf("%d are counted", n)
	}
	v.forget()
	if _, err := v.Remembered(header); err != nil {
		t.Errorf("with other keys: %v", err)
	}
	if _, err := v.Remembered([]string{"Basic abc"}); err == nil || err.(*Error).TookWork() {
		t.Errorf("no token: %v", err)
	}
}
