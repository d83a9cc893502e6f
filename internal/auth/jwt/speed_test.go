package jwt

import (
	"context"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
)

// speedToken has about the claims and the size of an Entra token.
func speedToken(t testing.TB, key, algorithm string, at time.Time) string {
	f := newForge(t, key, algorithm, at)
	for _, name := range []string{"oid", "tid", "uti", "rh", "azpacr", "name", "preferred_username"} {
		f.claims.add(name, `"8f1dd4b2-0c5f-4a57-9d3c-0a1b2c3d4e5f"`)
	}
	return f.text()
}

func speedVerifier(t testing.TB, entries int) *Verifier {
	return newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()}, Clock: clock.System,
		CacheEntries: entries,
	})
}

func TestHitDoesNotAllocate(t *testing.T) {
	v := speedVerifier(t, 0)
	authorization := []string{"Bearer " + speedToken(t, "rsa", "RS256", time.Now())}
	ctx := context.Background()
	if _, err := v.Verify(ctx, authorization); err != nil {
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(1000, func() {
		p, err := v.Verify(ctx, authorization)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Allows("orders", Send); !ok {
			t.Fatal("not allowed")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkHit(b *testing.B) {
	v := speedVerifier(b, 0)
	authorization := []string{"Bearer " + speedToken(b, "rsa", "RS256", time.Now())}
	b.SetBytes(int64(len(authorization[0])))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(context.Background(), authorization); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	for _, bb := range []struct{ key, algorithm string }{{"rsa", "RS256"}, {"ec", "ES256"}, {"ed", "EdDSA"}} {
		b.Run(bb.algorithm, func(b *testing.B) {
			v := speedVerifier(b, -1)
			authorization := []string{"Bearer " + speedToken(b, bb.key, bb.algorithm, time.Now())}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), authorization); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAllows(b *testing.B) {
	v := speedVerifier(b, 0)
	p, err := verify(v, speedToken(b, "ec", "ES256", time.Now()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := p.Allows("orders", Send); !ok {
			b.Fatal("not allowed")
		}
	}
}
