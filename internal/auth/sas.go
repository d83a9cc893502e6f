package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const sasPrefix = "SharedAccessSignature "

// expiresMax is the last second of the year 9999, the service's end of time. Later expiries are cut to it: some clients count milliseconds.
const expiresMax = 253402300799

// SAS is a shared access signature, read but not verified.
type SAS struct {
	Resource string    // sr as received, still encoded: this is what was signed
	KeyName  string    // skn
	Expires  time.Time // se, to the second
	expiry   string    // se as received: this is what was signed
	sig      string    // base64
}

// IsSAS tells whether a token is a SAS token by its first word. Python's SDK before 5.12 sends SAS tokens as type jwt, so doors go by this
// rather than by the type a client names.
func IsSAS(token string) bool {
	return len(token) >= len(sasPrefix) && strings.EqualFold(token[:len(sasPrefix)], sasPrefix)
}

// ParseSAS reads "SharedAccessSignature sr=..&sig=..&se=..&skn=.." with its fields in any order. Unknown fields are passed over: they are
// not signed. The error is an *Error with reason Malformed; it names the field and never its value.
func ParseSAS(token string) (SAS, error) {
	if !IsSAS(token) {
		return SAS{}, malformed(`the token does not begin with "SharedAccessSignature "`)
	}
	var sr, sig, se, skn string
	fields := map[string]*string{"sr": &sr, "sig": &sig, "se": &se, "skn": &skn}
	for field := range strings.SplitSeq(strings.TrimSpace(token[len(sasPrefix):]), "&") {
		name, value, _ := strings.Cut(field, "=")
		into, known := fields[name]
		if !known {
			continue
		}
		if *into != "" {
			return SAS{}, malformed("the token has two fields %s", name)
		}
		*into = value
	}
	for _, name := range []string{"sr", "sig", "se", "skn"} {
		if *fields[name] == "" {
			return SAS{}, malformed("the token has no field %s", name)
		}
	}
	expires, err := strconv.ParseUint(se, 10, 64)
	if err != nil {
		return SAS{}, malformed("the token's field se is not a number of seconds since 1970")
	}
	return SAS{
		Resource: sr,
		KeyName:  unescape(skn),
		Expires:  time.Unix(int64(min(expires, expiresMax)), 0).UTC(),
		expiry:   se,
		sig:      unescape(sig),
	}, nil
}

// SignedBy tells whether the token was signed with key, in a time that does not depend on how much of the signature is right.
func (s SAS) SignedBy(key string) bool {
	return subtle.ConstantTimeCompare([]byte(s.sig), []byte(sign(s.Resource, s.expiry, key))) == 1
}

// String leaves out the signature.
func (s SAS) String() string {
	return fmt.Sprintf("%ssr=%s&sig=***&se=%s&skn=%s", sasPrefix, s.Resource, s.expiry, s.KeyName)
}

// GoString keeps the signature out of %#v.
func (s SAS) GoString() string { return s.String() }

// path is what the token covers. The service's Go SDK can write a resource without a scheme that begins with the host ("localhost:5672",
// "localhost:5672/hub"). It is taken for a host only where it is the host of the audience, so that a hub's bare name never becomes the
// whole namespace.
func (s SAS) path(audience string) string {
	host, path := splitAddress(s.address())
	asked, _ := splitAddress(audience)
	if host == "" && asked != "" && covers(asked, path) {
		path = strings.Trim(path[len(asked):], "/")
	}
	return path
}

// address is the resource with its spaces. Form encoding (Go, .NET, Java, Python's quote_plus) writes a space as a plus, a plus as %2B, and
// leaves no slash or colon; in a resource that has one a plus is a plus.
func (s SAS) address() string {
	if strings.ContainsAny(s.Resource, "/:") {
		return s.Resource
	}
	return strings.ReplaceAll(s.Resource, "+", "%20")
}

// SignSAS makes a token for resource ("sb://host/hub") that ends at expires, to the second. It encodes as most SDKs do.
func SignSAS(resource, keyName, key string, expires time.Time) string {
	sr, se := url.QueryEscape(resource), strconv.FormatInt(expires.Unix(), 10)
	return fmt.Sprintf("%ssr=%s&sig=%s&se=%s&skn=%s", sasPrefix, sr, url.QueryEscape(sign(sr, se, key)), se, url.QueryEscape(keyName))
}

// sign uses the key's characters as they are: a key looks like base64, but no SDK decodes it.
func sign(sr, se, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(sr + "\n" + se))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func malformed(format string, args ...any) *Error {
	return &Error{Reason: Malformed, Text: fmt.Sprintf(format, args...)}
}
