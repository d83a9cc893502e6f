package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	other "github.com/golang-jwt/jwt/v5"

	"github.com/evhub-dev/evhub/internal/clock"
)

// attack is a good token with one thing changed. Rows with status 200 show where the line is; golang-jwt must accept those as well.
type attack struct {
	name   string
	signer string // key and algorithm, "ec ES256" if empty
	change func(*forge)
	status int
	reason Reason
}

// now is the time of all rows.
var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func header(name, raw string) func(*forge) { return func(f *forge) { f.header.set(name, raw) } }
func claim(name, raw string) func(*forge)  { return func(f *forge) { f.claims.set(name, raw) } }
func withoutClaim(name string) func(*forge) {
	return func(f *forge) { f.claims.remove(name) }
}
func addClaim(name, raw string) func(*forge)  { return func(f *forge) { f.claims.add(name, raw) } }
func addHeader(name, raw string) func(*forge) { return func(f *forge) { f.header.add(name, raw) } }
func edited(change func(string) string) func(*forge) {
	return func(f *forge) { f.token = change }
}
func sentAs(headers func(token string) []string) func(*forge) {
	return func(f *forge) { f.authorization = headers }
}

// payload puts text around or instead of the claims.
func payload(change func(claims string) string) func(*forge) {
	return func(f *forge) { f.payloadText = change(f.claims.String()) }
}

// signedWith keeps the header's kid and changes who signs, and how the header calls it.
func signedWith(algorithm string, key func(f *forge) any) func(*forge) {
	return func(f *forge) {
		f.header.set("alg", quote(algorithm))
		f.sign, f.key = algorithm, key(f)
	}
}

func publicDER(f *forge) []byte {
	der, err := x509.MarshalPKIXPublicKey(f.key.(crypto.Signer).Public())
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// mapSignature changes the bytes of the signature.
func mapSignature(change func([]byte) []byte) func(*forge) {
	return edited(func(token string) string {
		at := strings.LastIndexByte(token, '.') + 1
		signature, err := base64.RawURLEncoding.DecodeString(token[at:])
		if err != nil {
			panic(err)
		}
		return token[:at] + encode(change(signature))
	})
}

// padded brings the whole token to a length: three characters in a part are four of the token, so it takes a little in two parts.
func padded(length int) func(*forge) {
	return func(f *forge) {
		f.claims.set("pad", `""`)
		f.header.set("pad", `""`)
		for inHeader := range 4 {
			f.header.set("pad", quote(strings.Repeat("x", inHeader)))
			short := length - len(f.text())
			for n := short*3/4 - 3; n <= short*3/4+3; n++ {
				if f.claims.set("pad", quote(strings.Repeat("x", n))); len(f.text()) == length {
					return
				}
			}
			f.claims.set("pad", `""`)
		}
		f.t.Fatalf("no token has %d bytes", length)
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func members(count int) string {
	var o list
	for i := range count {
		o.add(fmt.Sprint("m", i), "1")
	}
	return o.String()
}

var attacks = []attack{
	// Controls: one for each algorithm, and what looks odd and is right.
	{"control ES256", "ec ES256", func(*forge) {}, 200, 0},
	{"control RS256, key without alg", "rsa RS256", func(*forge) {}, 200, 0},
	{"control PS256", "pss PS256", func(*forge) {}, 200, 0},
	{"control EdDSA", "ed EdDSA", func(*forge) {}, 200, 0},

	// Algorithms and keys.
	{"alg none", "", signedWith("none", func(*forge) any { return nil }), 401, Malformed},
	{"alg none with a signature", "", header("alg", `"none"`), 401, WrongAlgorithm},
	{"alg None", "", header("alg", `"None"`), 401, WrongAlgorithm},
	{"alg nOnE", "", header("alg", `"nOnE"`), 401, WrongAlgorithm},
	{"alg in small letters", "", header("alg", `"es256"`), 401, WrongAlgorithm},
	{"alg absent", "", func(f *forge) { f.header.remove("alg") }, 401, WrongAlgorithm},
	{"alg a number", "", header("alg", `256`), 401, Malformed},
	{"alg an array", "", header("alg", `["ES256"]`), 401, Malformed},
	{"signature cut off", "", edited(func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] }), 401, Malformed},
	{"signature of zeros", "", mapSignature(func(s []byte) []byte { return make([]byte, len(s)) }), 401, BadSignature},
	{"signature shorter", "", mapSignature(func(s []byte) []byte { return s[:len(s)-1] }), 401, BadSignature},
	{"signature longer", "", mapSignature(func(s []byte) []byte { return append(s, 0) }), 401, BadSignature},
	{"signature with a bit changed", "", mapSignature(func(s []byte) []byte { s[9] ^= 4; return s }), 401, BadSignature},
	{"ECDSA signature as DER", "", mapSignature(derSignature), 401, BadSignature},
	{"HS256 with the public key as PEM", "", signedWith("HS256", func(f *forge) any {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(f)})
	}), 401, WrongAlgorithm},
	{"HS256 with the public key as DER", "", signedWith("HS256", func(f *forge) any { return publicDER(f) }), 401, WrongAlgorithm},
	{"HS256 with the public key as JWK", "", signedWith("HS256", func(f *forge) any {
		return []byte(jwk(f.t, f.key.(crypto.Signer).Public(), "ec", ""))
	}), 401, WrongAlgorithm},
	{"HS256 with an empty secret", "", signedWith("HS256", func(*forge) any { return []byte{} }), 401, WrongAlgorithm},
	{"HS256 with the set's symmetric key", "", func(f *forge) {
		signedWith("HS256", func(*forge) any { return []byte("secret secret secret secret secret") })(f)
		f.header.set("kid", `"symmetric"`)
	}, 401, WrongAlgorithm},
	{"PS256 with a key for RS256", "rsa RS256", signedWith("PS256", func(f *forge) any { return f.key }), 401, WrongAlgorithm},
	{"RS256 with a key for PS256", "pss PS256", signedWith("RS256", func(f *forge) any { return f.key }), 401, WrongAlgorithm},
	{"header says PS256, signature is RS256", "pss PS256", func(f *forge) { f.sign = "RS256" }, 401, BadSignature},
	{"ES256 with the kid of an RSA key", "", header("kid", `"rsa"`), 401, WrongAlgorithm},
	{"ES256 with a P-384 key", "", func(f *forge) { f.header.set("kid", `"p384"`); f.key = keyPairs()["p384"] }, 401, UnknownKey},
	{"ES256 with a P-384 key said to be for it", "", func(f *forge) {
		f.header.set("kid", `"p384 for ES256"`)
		f.key = keyPairs()["p384"]
	}, 401, UnknownKey},
	{"ES384, which is not allowed", "p384 ES384", func(*forge) {}, 401, WrongAlgorithm},
	{"RSA key of 1024 bits", "rsa RS256", func(f *forge) { f.header.set("kid", `"weak"`); f.key = keyPairs()["weak"] }, 401, UnknownKey},
	{"RSA key of 1024 bits with another's kid", "rsa RS256", func(f *forge) { f.key = keyPairs()["weak"] }, 401, BadSignature},
	{"foreign key", "", func(f *forge) { f.key = keyPairs()["foreign ec"] }, 401, BadSignature},
	{"foreign key in the header", "", func(f *forge) {
		f.key = keyPairs()["foreign ec"]
		f.header.add("jwk", jwk(f.t, keyPairs()["foreign ec"].Public(), "ec", ""))
	}, 401, BadSignature},
	{"foreign key, in the header, without kid", "", func(f *forge) {
		f.key = keyPairs()["foreign ec"]
		f.header.add("jwk", jwk(f.t, keyPairs()["foreign ec"].Public(), "ec", ""))
		f.header.remove("kid")
	}, 401, UnknownKey},
	{"foreign key, jku", "", func(f *forge) {
		f.key = keyPairs()["foreign ec"]
		f.header.add("jku", `"https://evil.example/keys"`)
	}, 401, BadSignature},
	{"foreign key, x5u", "", func(f *forge) {
		f.key = keyPairs()["foreign ec"]
		f.header.add("x5u", `"https://evil.example/chain"`)
	}, 401, BadSignature},
	{"foreign key, x5c", "", func(f *forge) {
		f.key = keyPairs()["foreign ec"]
		f.header.add("x5c", `["`+base64.StdEncoding.EncodeToString(selfSigned(f.t, keyPairs()["foreign ec"]))+`"]`)
	}, 401, BadSignature},
	{"private key in the header of a good token", "", addHeader("jwk", `{"kty":"oct","k":"AAAA"}`), 401, Malformed},
	{"jku of a good token", "", addHeader("jku", `"https://evil.example/keys"`), 200, 0},
	{"x5t of a good token", "", addHeader("x5t", `"abc"`), 200, 0},
	{"another key of the set", "", header("kid", `"second ec"`), 401, BadSignature},
	{"key for encryption", "", func(f *forge) {
		f.key = keyPairs()["encryption"]
		f.header.set("kid", `"encryption"`)
	}, 401, UnknownKey},
	{"kid of two keys", "", header("kid", `"twice"`), 401, UnknownKey},
	{"kid absent", "", func(f *forge) { f.header.remove("kid") }, 401, UnknownKey},
	{"kid empty", "", header("kid", `""`), 401, Malformed},
	{"kid null", "", header("kid", `null`), 401, Malformed},
	{"kid a number", "", header("kid", `1`), 401, Malformed},
	{"kid of 128 bytes", "", header("kid", quote(strings.Repeat("k", 128))), 401, UnknownKey},
	{"kid of 129 bytes", "", header("kid", quote(strings.Repeat("k", 129))), 401, Malformed},
	{"kid of 10 KB", "", header("kid", quote(strings.Repeat("k", 10<<10))), 401, Malformed},
	{"kid a path", "", header("kid", `"../../ec"`), 401, UnknownKey},
	{"kid SQL", "", header("kid", `"ec' OR '1'='1"`), 401, UnknownKey},
	{"kid with NUL", "", header("kid", `"ec\u0000"`), 401, UnknownKey},
	{"kid in other case", "", header("kid", `"EC"`), 401, UnknownKey},

	// Header.
	{"crit unknown", "", addHeader("crit", `["exp2"]`), 401, Malformed},
	{"crit empty", "", addHeader("crit", `[]`), 401, Malformed},
	{"crit exp", "", addHeader("crit", `["exp"]`), 401, Malformed},
	{"crit null", "", addHeader("crit", `null`), 401, Malformed},
	{"b64 false", "", addHeader("b64", `false`), 401, Malformed},
	{"b64 true", "", addHeader("b64", `true`), 401, Malformed},
	{"b64 false with crit", "", func(f *forge) { f.header.add("b64", `false`); f.header.add("crit", `["b64"]`) }, 401, Malformed},
	{"zip", "", addHeader("zip", `"DEF"`), 401, Malformed},
	{"enc", "", addHeader("enc", `"A128GCM"`), 401, Malformed},
	{"alg twice", "", addHeader("alg", `"ES256"`), 401, Malformed},
	{"alg and ALG", "", addHeader("ALG", `"ES256"`), 401, Malformed},
	{"kid and Kelvin's kid", "", addHeader("\u212aid", `"ec"`), 401, Malformed},
	{"header an array", "", func(f *forge) { f.headerText = "[" + f.header.String() + "]" }, 401, Malformed},
	{"header a number", "", func(f *forge) { f.headerText = "1" }, 401, Malformed},
	{"header null", "", func(f *forge) { f.headerText = "null" }, 401, Malformed},
	{"header with a byte order mark", "", func(f *forge) { f.headerText = "\ufeff" + f.header.String() }, 401, Malformed},
	{"header with bytes behind it", "", func(f *forge) { f.headerText = f.header.String() + "{}" }, 401, Malformed},
	{"header with white space around", "", func(f *forge) { f.headerText = " " + f.header.String() + "\n" }, 200, 0},
	{"typ JWT", "", header("typ", `"JWT"`), 200, 0},
	{"typ absent", "", func(f *forge) { f.header.remove("typ") }, 200, 0},
	{"typ in full and in capitals", "", header("typ", `"application/AT+JWT"`), 200, 0},
	{"typ dpop+jwt", "", header("typ", `"dpop+jwt"`), 401, WrongType},
	{"typ logout+jwt", "", header("typ", `"logout+jwt"`), 401, WrongType},
	{"typ a number", "", header("typ", `1`), 401, Malformed},

	// Form.
	{"JWE compact form", "", edited(func(s string) string { return s + "." + s[:strings.LastIndexByte(s, '.')] }), 401, Malformed},
	{"JSON serialisation", "", edited(func(s string) string {
		parts := strings.Split(s, ".")
		return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
	}), 401, Malformed},
	{"1 segment", "", edited(func(s string) string { return strings.ReplaceAll(s, ".", "") }), 401, Malformed},
	{"2 segments", "", edited(func(s string) string { return s[:strings.LastIndexByte(s, '.')] }), 401, Malformed},
	{"4 segments", "", edited(func(s string) string { return s + ".AAAA" }), 401, Malformed},
	{"5 segments", "", edited(func(s string) string { return s + ".AAAA.AAAA" }), 401, Malformed},
	{"a dot behind", "", edited(func(s string) string { return s + "." }), 401, Malformed},
	{"payload empty", "", edited(func(s string) string {
		parts := strings.Split(s, ".")
		return parts[0] + ".." + parts[2]
	}), 401, Malformed},
	{"1 MB of dots", "", edited(func(string) string { return strings.Repeat(".", 1<<20) }), 401, Malformed},
	{"8 KB of dots", "", edited(func(string) string { return strings.Repeat(".", tokenBytesMax) }), 401, Malformed},
	{"8192 bytes", "", padded(tokenBytesMax), 200, 0},
	{"8193 bytes", "", padded(tokenBytesMax + 1), 401, Malformed},
	{"base64 with padding", "", edited(func(s string) string { return s + "==" }), 401, Malformed},
	{"base64 with padding inside", "", edited(func(s string) string { return strings.Replace(s, ".", "=.", 1) }), 401, Malformed},
	{"base64 of the other alphabet", "", edited(func(s string) string { return s[:len(s)-2] + "+/" }), 401, Malformed},
	{"base64 with unused bits set", "", edited(setUnusedBits), 401, Malformed},
	{"line end inside", "", edited(func(s string) string { return s[:20] + "\n" + s[20:] }), 401, Malformed},
	{"CR and LF behind", "", edited(func(s string) string { return s + "\r\n" }), 401, Malformed},
	{"space inside", "", edited(func(s string) string { return s[:20] + " " + s[20:] }), 401, Malformed},
	{"space behind", "", edited(func(s string) string { return s + " " }), 401, Malformed},
	{"tab before", "", edited(func(s string) string { return "\t" + s }), 401, Malformed},
	{"NUL behind", "", edited(func(s string) string { return s + "\x00" }), 401, Malformed},
	{"percent encoding", "", edited(func(s string) string { return strings.Replace(s, ".", "%2E", 1) }), 401, Malformed},
	// Half of all honest ECDSA signatures have a large s, so the twin of one cannot be told from an honest one; see the package comment.
	{"ECDSA signature with n-s for s", "", mapSignature(twinSignature), 200, 0},

	// Request.
	{"no header", "", sentAs(func(string) []string { return nil }), 401, NoToken},
	{"empty header", "", sentAs(func(string) []string { return []string{""} }), 401, NoToken},
	{"scheme Basic", "", sentAs(func(s string) []string { return []string{"Basic " + s} }), 401, NoToken},
	{"no scheme", "", sentAs(func(s string) []string { return []string{s} }), 401, NoToken},
	{"scheme and no token", "", sentAs(func(string) []string { return []string{"Bearer "} }), 401, Malformed},
	{"scheme bearer", "", sentAs(func(s string) []string { return []string{"bearer " + s} }), 200, 0},
	{"scheme BEARER and two spaces", "", sentAs(func(s string) []string { return []string{"BEARER  " + s} }), 200, 0},
	{"scheme with a colon", "", sentAs(func(s string) []string { return []string{"Bearer: " + s} }), 401, NoToken},
	{"two headers", "", sentAs(func(s string) []string { return []string{"Bearer " + s, "Bearer " + s} }), 400, TwoTokens},
	{"two headers in one", "", sentAs(func(s string) []string { return []string{"Bearer " + s + ", Bearer " + s} }), 401, Malformed},
	{"two tokens", "", sentAs(func(s string) []string { return []string{"Bearer " + s + " " + s} }), 401, Malformed},

	// Claims as JSON.
	{"payload an array", "", payload(func(c string) string { return "[" + c + "]" }), 401, Malformed},
	{"payload a number", "", payload(func(string) string { return "1" }), 401, Malformed},
	{"payload null", "", payload(func(string) string { return "null" }), 401, Malformed},
	{"payload a string", "", payload(func(string) string { return `"x"` }), 401, Malformed},
	{"payload not JSON", "", payload(func(c string) string { return c[:len(c)-1] }), 401, Malformed},
	{"payload with a comma too many", "", payload(func(c string) string { return c[:len(c)-1] + ",}" }), 401, Malformed},
	{"payload with a comment", "", payload(func(c string) string { return c + "//" }), 401, Malformed},
	{"payload with a byte order mark", "", payload(func(c string) string { return "\ufeff" + c }), 401, Malformed},
	{"payload twice", "", payload(func(c string) string { return c + c }), 401, Malformed},
	{"bytes behind the payload", "", payload(func(c string) string { return c + "x" }), 401, Malformed},
	{"payload in UTF-16", "", payload(func(c string) string {
		return "\xfe\xff\x00" + strings.Join(strings.Split(c, ""), "\x00")
	}), 401, Malformed},
	{"payload not UTF-8", "", addClaim("x", "\"\xff\""), 401, Malformed},
	{"half a surrogate pair", "", addClaim("x", `"\ud800"`), 401, Malformed},
	{"surrogates in the wrong order", "", addClaim("x", `"\udc00\ud800"`), 401, Malformed},
	{"surrogate and a letter", "", addClaim("x", `"\ud800\u0041"`), 401, Malformed},
	{"whole surrogate pair", "", addClaim("x", `"\ud83d\ude00"`), 200, 0},
	{"nested 15 deep", "", addClaim("x", nested(depthMax-1)), 200, 0},
	{"nested 16 deep", "", addClaim("x", nested(depthMax)), 401, Malformed},
	{"nested 2500 deep", "", addClaim("x", nested(2500)), 401, Malformed},
	{"nested 10000 deep", "", addClaim("x", nested(10000)), 401, Malformed},
	{"object of 256 members", "", addClaim("x", members(membersMax)), 200, 0},
	{"object of 257 members", "", addClaim("x", members(membersMax+1)), 401, Malformed},
	{"object of 50000 members", "", addClaim("x", members(50000)), 401, Malformed},
	{"sub twice", "", addClaim("sub", `"eve"`), 401, Malformed},
	{"sub twice, the same", "", addClaim("sub", `"ann"`), 401, Malformed},
	{"sub twice, once by escape", "", addClaim(`s\u0075b`, `"eve"`), 401, Malformed},
	{"aud twice", "", addClaim("aud", quote(audience)), 401, Malformed},
	{"a name twice inside a claim", "", addClaim("x", `{"a":1,"a":1}`), 401, Malformed},
	{"names that differ in case inside a claim", "", addClaim("x", `{"a":1,"A":1}`), 200, 0},
	{"SUB beside sub", "", addClaim("SUB", `"eve"`), 401, Malformed},
	{"EXP beside exp", "", addClaim("EXP", stamp(now.Add(2*time.Hour))), 401, Malformed},
	{"Aud beside aud", "", addClaim("Aud", quote(audience)), 401, Malformed},
	{"long s beside sub", "", addClaim("ſub", `"eve"`), 401, Malformed},
	{"aud with NUL beside aud", "", addClaim(`aud\u0000`, quote(audience)), 401, Malformed},
	{"only AUD", "", func(f *forge) { f.claims.remove("aud"); f.claims.add("AUD", quote(audience)) }, 401, WrongAudience},
	{"only EXP", "", func(f *forge) { f.claims.remove("exp"); f.claims.add("EXP", stamp(now.Add(time.Hour))) }, 401, BadClaim},

	// Times. The leeway is 30 s.
	{"exp absent", "", withoutClaim("exp"), 401, BadClaim},
	{"exp null", "", claim("exp", `null`), 401, BadClaim},
	{"exp a string", "", claim("exp", `"`+stamp(now.Add(time.Hour))+`"`), 401, BadClaim},
	{"exp an array", "", claim("exp", `[`+stamp(now.Add(time.Hour))+`]`), 401, BadClaim},
	{"exp true", "", claim("exp", `true`), 401, BadClaim},
	{"exp 1e300", "", claim("exp", `1e300`), 401, BadClaim},
	{"exp 1e999", "", claim("exp", `1e999`), 401, BadClaim},
	{"exp -1", "", claim("exp", `-1`), 401, BadClaim},
	{"exp 0", "", claim("exp", `0`), 401, Expired},
	{"exp NaN", "", claim("exp", `NaN`), 401, Malformed},
	{"exp NaN as text", "", claim("exp", `"NaN"`), 401, BadClaim},
	{"exp in milliseconds", "", claim("exp", stamp(now.Add(time.Hour))+"000"), 401, BadClaim},
	{"exp with a fraction, as RFC 7519 allows", "", claim("exp", stamp(now.Add(time.Hour))+".5"), 200, 0},
	{"expired within the leeway", "", claim("exp", stamp(now.Add(-29*time.Second))), 200, 0},
	{"expired by the leeway", "", claim("exp", stamp(now.Add(-30*time.Second))), 401, Expired},
	{"expired by more", "", claim("exp", stamp(now.Add(-31*time.Second))), 401, Expired},
	{"nbf ahead by the leeway", "", addClaim("nbf", stamp(now.Add(30*time.Second))), 200, 0},
	{"nbf ahead by more", "", addClaim("nbf", stamp(now.Add(31*time.Second))), 401, NotYet},
	{"nbf a string", "", addClaim("nbf", `"0"`), 401, BadClaim},
	{"iat ahead by the leeway", "", claim("iat", stamp(now.Add(30*time.Second))), 200, 0},
	{"iat ahead by more", "", claim("iat", stamp(now.Add(31*time.Second))), 401, NotYet},
	{"iat an hour ahead", "", claim("iat", stamp(now.Add(time.Hour))), 401, NotYet},
	{"iat null", "", claim("iat", `null`), 401, BadClaim},
	{"iat absent", "", withoutClaim("iat"), 200, 0},
	{"lifetime of 24 h", "", claim("exp", stamp(now.Add(24*time.Hour))), 200, 0},
	{"lifetime of 24 h and 1 s", "", claim("exp", stamp(now.Add(24*time.Hour+time.Second))), 401, TooLong},
	{"lifetime of 10 years", "", claim("exp", stamp(now.AddDate(10, 0, 0))), 401, TooLong},
	{"lifetime of 10 years, iat absent", "", func(f *forge) {
		f.claims.set("exp", stamp(now.AddDate(10, 0, 0)))
		f.claims.remove("iat")
	}, 401, TooLong},

	// Issuer, audience, tenant.
	{"iss absent", "", withoutClaim("iss"), 401, BadClaim},
	{"iss null", "", claim("iss", `null`), 401, BadClaim},
	{"iss an array", "", claim("iss", `[`+quote(issuerURL)+`]`), 401, BadClaim},
	{"iss without its slash", "", claim("iss", quote(strings.TrimSuffix(issuerURL, "/"))), 401, UnknownIssuer},
	{"iss with a slash more", "", claim("iss", quote(issuerURL+"/")), 401, UnknownIssuer},
	{"iss in other case", "", claim("iss", quote(strings.Replace(issuerURL, "login", "Login", 1))), 401, UnknownIssuer},
	{"iss with http", "", claim("iss", quote(strings.Replace(issuerURL, "https", "http", 1))), 401, UnknownIssuer},
	{"iss with another in front", "", claim("iss", quote("https://evil.example/?"+issuerURL)), 401, UnknownIssuer},
	{"iss of an issuer with other keys", "", claim("iss", `"https://strict.example"`), 401, UnknownKey},
	{"aud absent", "", withoutClaim("aud"), 401, WrongAudience},
	{"aud null", "", claim("aud", `null`), 401, BadClaim},
	{"aud another", "", claim("aud", `"api://billing"`), 401, WrongAudience},
	{"aud a beginning of ours", "", claim("aud", `"api://event"`), 401, WrongAudience},
	{"aud in other case", "", claim("aud", `"API://events"`), 401, WrongAudience},
	{"aud empty", "", claim("aud", `""`), 401, WrongAudience},
	{"aud an empty array", "", claim("aud", `[]`), 401, WrongAudience},
	{"aud an array with ours", "", claim("aud", `["api://billing",`+quote(audience)+`]`), 200, 0},
	{"aud an array without ours", "", claim("aud", `["api://billing"]`), 401, WrongAudience},
	{"aud a mixed array", "", claim("aud", `[`+quote(audience)+`,1]`), 401, BadClaim},
	{"aud an array in an array", "", claim("aud", `[[`+quote(audience)+`]]`), 401, BadClaim},
	{"aud an object", "", claim("aud", `{`+quote(audience)+`:1}`), 401, BadClaim},

	// Kinds of token.
	{"ID token", "", func(f *forge) { f.header.set("typ", `"JWT"`); f.claims.remove("scope") }, 401, WrongType},
	{"ID token with roles", "", func(f *forge) {
		f.header.set("typ", `"JWT"`)
		f.claims.remove("scope")
		f.claims.remove("client_id")
		f.claims.add("roles", `["Events.Send"]`)
	}, 401, WrongType},
	{"access token with roles", "", func(f *forge) {
		f.header.set("typ", `"JWT"`)
		f.claims.remove("scope")
		f.claims.add("roles", `["Events.Send"]`)
	}, 200, 0},
	{"ID token with roles, azp and nonce", "", func(f *forge) {
		f.header.set("typ", `"JWT"`)
		f.claims.remove("scope")
		f.claims.add("roles", `["Events.Send"]`)
		f.claims.add("nonce", `"n"`)
	}, 401, WrongType},
	{"ID token with at_hash", "", func(f *forge) { f.header.set("typ", `"JWT"`); f.claims.add("at_hash", `"h"`) }, 401, WrongType},
	{"ID token of Cognito", "", func(f *forge) { f.header.set("typ", `"JWT"`); f.claims.add("token_use", `"id"`) }, 401, WrongType},
	{"ID token of Keycloak", "", func(f *forge) { f.header.set("typ", `"JWT"`); f.claims.add("typ", `"ID"`) }, 401, WrongType},
	{"access token of Keycloak", "", func(f *forge) { f.header.set("typ", `"JWT"`); f.claims.add("typ", `"Bearer"`) }, 200, 0},

	// Names.
	{"sub and client absent", "", func(f *forge) { f.claims.remove("sub"); f.claims.remove("client_id") }, 401, BadClaim},
	{"sub absent", "", withoutClaim("sub"), 200, 0},
	{"sub a number", "", claim("sub", `1`), 401, BadClaim},
	{"sub of 256 bytes", "", claim("sub", quote(strings.Repeat("s", 256))), 200, 0},
	{"sub of 257 bytes", "", claim("sub", quote(strings.Repeat("s", 257))), 401, BadClaim},
	{"sub with NUL", "", claim("sub", `"ann\u0000"`), 401, BadClaim},
	{"sub with a line end", "", claim("sub", `"ann\nadmin"`), 401, BadClaim},
	{"sub with a mark of direction", "", claim("sub", `"ann\u202e"`), 401, BadClaim},
	{"sub with a character of no width", "", claim("sub", `"an\u200bn"`), 401, BadClaim},
	{"sub with letters beyond ASCII", "", claim("sub", `"Änne"`), 200, 0},
	{"client with a mark of direction", "", claim("client_id", `"\u2066reporter"`), 401, BadClaim},
	{"client a number", "", claim("client_id", `7`), 401, BadClaim},
	{"jti of 257 bytes", "", claim("jti", quote(strings.Repeat("j", 257))), 401, BadClaim},
	{"jti a number", "", claim("jti", `7`), 401, BadClaim},
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	if len(attacks) < 90 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	v := newVerifier(t, Options{
		Issuers: []Issuer{
			{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t)},
			{URL: "https://strict.example", Audiences: []string{audience}, Keys: jwks(jwk(t, keyPairs()["rsa"].Public(), "rsa", ""))},
		},
		Rules: []Rule{sendRule()}, Clock: still{clock.System, now}, Client: noNetwork(t),
	})
	seen := make(map[string]bool)
	for _, a := range attacks {
		if seen[a.name] {
			t.Errorf("two rows %q", a.name)
		}
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) { a.run(t, v) })
	}
}

// run first has the control accepted, so that a refusal of the row is for what the row changes.
func (a *attack) run(t *testing.T, v *Verifier) {
	t.Parallel()
	signer := a.signer
	if signer == "" {
		signer = "ec ES256"
	}
	at := strings.LastIndexByte(signer, ' ')
	f := newForge(t, signer[:at], signer[at+1:], now)
	if control, err := v.Verify(context.Background(), f.headers()); err == nil {
		if control.Subject != "ann" || control.Client != "reporter" || control.Kind != User {
			t.Fatalf("control: %+v", control)
		}
	} else if signer != "p384 ES384" { // whose control is in TestNamedAlgorithms
		t.Fatalf("control: %v", err)
	}
	a.change(f)
	headers := f.headers()
	principal, err := v.Verify(context.Background(), headers)
	if a.status == 200 {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		secondOpinion(t, strings.TrimSpace(headers[0][len("Bearer "):]))
		return
	}
	e := wantRefused(t, err, a.status, a.reason)
	if principal != nil {
		t.Error("a principal beside an error")
	}
	for _, part := range strings.Split(f.text(), ".") {
		if len(part) >= 8 && (strings.Contains(e.Error(), part) || strings.Contains(e.Challenge("evhub"), part)) {
			t.Errorf("the text quotes the token: %s", e)
		}
	}
}

// secondOpinion asks golang-jwt.
func secondOpinion(t *testing.T, compact string) {
	t.Helper()
	parser := other.NewParser(
		other.WithValidMethods([]string{"RS256", "PS256", "ES256", "EdDSA"}), other.WithIssuer(issuerURL), other.WithAudience(audience),
		other.WithLeeway(30*time.Second), other.WithExpirationRequired(), other.WithIssuedAt(), other.WithStrictDecoding(), other.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.Parse(compact, func(token *other.Token) (any, error) {
		return keyPairs()[token.Header["kid"].(string)].Public(), nil
	})
	if err != nil {
		t.Errorf("golang-jwt refuses what we accept: %v", err)
	}
}

// TestNamedAlgorithms is the control for ES384, which must be asked for.
func TestNamedAlgorithms(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, Options{
		Issuers: []Issuer{{URL: issuerURL, Audiences: []string{audience}, Keys: publicSet(t), Algorithms: []string{"ES384"}}},
		Rules:   []Rule{sendRule()}, Clock: still{clock.System, now},
	})
	if _, err := verify(v, newForge(t, "p384", "ES384", now).text()); err != nil {
		t.Error(err)
	}
	_, err := verify(v, newForge(t, "ec", "ES256", now).text())
	wantRefused(t, err, 401, WrongAlgorithm)
}

func derSignature(s []byte) []byte {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])})
	if err != nil {
		panic(err)
	}
	return der
}

// twinSignature is as good as the first (r, s), by the nature of ECDSA.
func twinSignature(s []byte) []byte {
	twin := slices.Clone(s)
	large := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(s[32:]))
	large.FillBytes(twin[32:])
	return twin
}

// setUnusedBits changes the text of a signature and not its bytes: 64 bytes leave four bits of their last character unused.
func setUnusedBits(token string) string {
	last := strings.IndexByte(base64url, token[len(token)-1])
	return token[:len(token)-1] + string(base64url[last|1])
}

func selfSigned(t testing.TB, k crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.(*ecdsa.PrivateKey).Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
