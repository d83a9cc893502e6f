package jwt

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	valid := func() Options {
		return Options{Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()}}
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string // in the error; "": none
	}{
		{"valid", func(*Options) {}, ""},
		{"no issuers", func(o *Options) { o.Issuers = nil }, "Issuers: at least one"},
		{"no rules", func(o *Options) { o.Rules = nil }, "Rules: at least one"},
		{"issuer twice", func(o *Options) { o.Issuers = append(o.Issuers, o.Issuers[0]) }, "Issuers[1].URL: \"https://login.example/\" is there twice"},
		{"no URL", func(o *Options) { o.Issuers[0].URL = "" }, "Issuers[0].URL"},
		{"URL with a space", func(o *Options) { o.Issuers[0].URL = "https://a b" }, "Issuers[0].URL"},
		{"URL with a fragment", func(o *Options) { o.Issuers[0].URL = "https://a#b" }, "Issuers[0].URL"},
		{"name instead of an URL, with keys", func(o *Options) { o.Issuers[0].URL, o.Rules[0].Issuer = "issuer", "issuer" }, ""},
		{"name instead of an URL, to look up", func(o *Options) { o.Issuers[0].URL, o.Issuers[0].Keys = "issuer", nil }, "Issuers[0].URL: \"issuer\" is not an address"},
		{"http", func(o *Options) { o.Issuers[0].URL, o.Issuers[0].Keys = "http://login.example", nil }, "said to be insecure"},
		{"http on this machine", func(o *Options) { o.Issuers[0].URL, o.Issuers[0].Keys = "http://localhost:1", nil }, "said to be insecure"},
		{"http and Insecure", func(o *Options) {
			o.Issuers[0] = Issuer{URL: "http://login.example", Audiences: []string{"a"}, Insecure: true}
		}, "for localhost, 127.0.0.1 and [::1] only"},
		{"http and Insecure on a name like localhost", func(o *Options) {
			o.Issuers[0] = Issuer{URL: "http://localhost.evil.example", Audiences: []string{"a"}, Insecure: true}
		}, "for localhost, 127.0.0.1 and [::1] only"},
		{"http and Insecure on this machine", func(o *Options) {
			o.Issuers[0].KeysURL, o.Issuers[0].Keys, o.Issuers[0].Insecure = "http://[::1]:1/keys", nil, true
		}, ""},
		{"ftp", func(o *Options) { o.Issuers[0].KeysURL, o.Issuers[0].Keys = "ftp://localhost/keys", nil }, "must begin with https"},
		{"password", func(o *Options) { o.Issuers[0].KeysURL, o.Issuers[0].Keys = "https://a:b@c/keys", nil }, "is not an address"},
		{"two sources", func(o *Options) { o.Issuers[0].KeysURL = "https://a/keys" }, "only one of"},
		{"no audience", func(o *Options) { o.Issuers[0].Audiences = nil }, "Issuers[0].Audiences"},
		{"empty audience", func(o *Options) { o.Issuers[0].Audiences = []string{""} }, "Issuers[0].Audiences"},
		{"HS256", func(o *Options) { o.Issuers[0].Algorithms = []string{"HS256"} }, "Issuers[0].Algorithms[0]: \"HS256\""},
		{"none", func(o *Options) { o.Issuers[0].Algorithms = []string{"RS256", "none"} }, "Issuers[0].Algorithms[1]: \"none\""},
		{"leeway", func(o *Options) { o.Issuers[0].Leeway = 61 * time.Second }, "Issuers[0].Leeway"},
		{"negative leeway", func(o *Options) { o.Issuers[0].Leeway = -1 }, "Issuers[0].Leeway"},
		{"negative lifetime", func(o *Options) { o.Issuers[0].LifetimeMax = -1 }, "Issuers[0].LifetimeMax"},
		{"keys no set", func(o *Options) { o.Issuers[0].Keys = []byte("x") }, "Issuers[0].Keys: the key set is not JSON"},
		{"keys without one to be used", func(o *Options) { o.Issuers[0].Algorithms, o.Issuers[0].Keys = []string{"ES512"}, publicSet(t) }, "Issuers[0].Keys: the key set has no key"},
		{"rule of nobody", func(o *Options) { o.Rules[0].Issuer = strings.TrimSuffix(issuerURL, "/") }, "Rules[0].Issuer"},
		{"no kind", func(o *Options) { o.Rules[0].Kind = 0 }, "Rules[0].Kind"},
		{"no claim", func(o *Options) { o.Rules[0].Claim = "" }, "Rules[0].Claim"},
		{"scp of an app", func(o *Options) { o.Rules[0].Claim, o.Rules[0].Kind = "scp", App }, "Rules[0].Claim: scp"},
		{"role of an app", func(o *Options) { o.Rules[0].Role, o.Rules[0].Kind = "x", App }, "Rules[0].Role"},
		{"no action", func(o *Options) { o.Rules[0].Actions = nil }, "Rules[0].Actions"},
		{"unknown action", func(o *Options) { o.Rules[0].Actions = []Action{Send, 9} }, "Rules[0].Actions[1]: action(9)"},
		{"no value", func(o *Options) { o.Rules[0].Value = "" }, "Rules[0].Value"},
		{"star inside", func(o *Options) { o.Rules[0].Value = "a*b" }, "Rules[0].Value"},
		{"two stars", func(o *Options) { o.Rules[0].Value = "a**" }, "Rules[0].Value"},
		{"hub twice", func(o *Options) { o.Rules[0].Value = "<hub>.<hub>" }, "Rules[0].Value"},
		{"hub and star", func(o *Options) { o.Rules[0].Value = "<hub>*" }, "Rules[0].Value"},
		{"no hubs", func(o *Options) { o.Rules[0].Value = "a" }, "Rules[0].Hubs"},
		{"bad hub", func(o *Options) { o.Rules[0].Hubs = []string{"a", "b/c"} }, "Rules[0].Hubs[1]"},
		{"star in a hub", func(o *Options) { o.Rules[0].Hubs = []string{"a*b"} }, "Rules[0].Hubs[0]"},
		{"empty hub", func(o *Options) { o.Rules[0].Hubs = []string{""} }, "Rules[0].Hubs[0]"},
		{"rate", func(o *Options) { o.Rules[0].Rate = math.NaN() }, "Rules[0].Rate"},
		{"negative rate", func(o *Options) { o.Rules[0].Rate = -1 }, "Rules[0].Rate"},
		{"negative bytes", func(o *Options) { o.Rules[0].BytesPerSecond = -1 }, "Rules[0].BytesPerSecond"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := valid()
			o.Client = newWeb(nil).client()
			tt.change(&o)
			v, err := New(o)
			if err == nil {
				v.Close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// The caller's slices are its own.
func TestOptionsAreCopied(t *testing.T) {
	t.Parallel()
	o := Options{Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)}}, Rules: []Rule{sendRule()}}
	newVerifier(t, o)
	if o.Issuers[0].Leeway != 0 || o.Issuers[0].Algorithms != nil {
		t.Errorf("defaults were written into the options: %+v", o.Issuers[0])
	}
}

func TestLeewayAndLifetime(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t), Leeway: time.Second, LifetimeMax: time.Minute, Type: "at+jwt"}},
		Rules:   []Rule{sendRule()}, Clock: still{nil, now},
	})
	for _, tt := range []struct {
		name   string
		change func(*forge)
		reason Reason
	}{
		{"a minute", claim("exp", stamp(now.Add(time.Minute))), 0},
		{"more", claim("exp", stamp(now.Add(61*time.Second))), TooLong},
		{"a second ahead", func(f *forge) {
			f.claims.set("iat", stamp(now.Add(time.Second)))
			f.claims.set("exp", stamp(now.Add(30*time.Second)))
		}, 0},
		{"two seconds ahead", func(f *forge) {
			f.claims.set("iat", stamp(now.Add(2*time.Second)))
			f.claims.set("exp", stamp(now.Add(30*time.Second)))
		}, NotYet},
		{"typ JWT", header("typ", `"JWT"`), WrongType},
		{"typ absent", func(f *forge) { f.header.remove("typ") }, WrongType},
		{"typ in full", func(f *forge) {
			f.header.set("typ", `"application/at+jwt"`)
			f.claims.set("exp", stamp(now.Add(time.Minute)))
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newForge(t, "ec", "ES256", now)
			tt.change(f)
			_, err := verify(v, f.text())
			if tt.reason == 0 && err != nil {
				t.Error(err)
			}
			if tt.reason != 0 {
				wantRefused(t, err, 401, tt.reason)
			}
		})
	}
}

func TestKeyFileOfEachForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		file string
		want string // in the error; "": tokens of ec are taken, with any kid and with none
	}{
		{"public key", pemOf(t, "PUBLIC KEY", "ec"), ""},
		{"certificate", pemOf(t, "CERTIFICATE", "ec"), ""},
		{"two keys", pemOf(t, "PUBLIC KEY", "second ec") + pemOf(t, "PUBLIC KEY", "ec"), ""},
		{"keys of several kinds", pemOf(t, "PUBLIC KEY", "rsa") + pemOf(t, "RSA PUBLIC KEY", "rsa") + pemOf(t, "PUBLIC KEY", "ed") + pemOf(t, "PUBLIC KEY", "ec"), ""},
		{"text around", "our key:\n" + pemOf(t, "PUBLIC KEY", "ec") + "\nthe end", ""},
		{"five keys", strings.Repeat(pemOf(t, "PUBLIC KEY", "ec"), 5), "more than 4 keys"},
		{"private key", pemOf(t, "PUBLIC KEY", "ec") + pemOf(t, "PRIVATE KEY", "ec"), `a block "PRIVATE KEY"`},
		{"weak key", pemOf(t, "PUBLIC KEY", "weak"), "1024 bits"},
		{"key of no allowed algorithm", pemOf(t, "PUBLIC KEY", "p384"), "P-384"},
		{"broken", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"},
		{"empty", "", "neither a JWK set nor"},
		{"too large", strings.Repeat("\n", setBytesMax+1), "more than the 262144 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys.pem")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			v, err := New(Options{Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, KeysFile: path}}, Rules: []Rule{sendRule()}})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			f := newForge(t, "ec", "ES256", time.Now())
			for _, change := range []func(){func() {}, func() { f.header.set("kid", `"whatever"`) }, func() { f.header.remove("kid") }} {
				change()
				if _, err := verify(v, f.text()); err != nil {
					t.Error(err)
				}
			}
			f.key = keyPairs()["foreign ec"]
			_, err = verify(v, f.text())
			wantRefused(t, err, 401, BadSignature)
		})
	}
}
