// Package auth turns credentials into grants: shared access signatures (SAS), policy name and key, connection strings.
//
// Every door asks an Authenticator who a peer is, keeps the Grant it got, and asks the Grant before each attach, send or read. What a user
// needs is that a token of one hub never opens another, that a wrong or expired token is refused with the true reason, and that no key or
// signature is ever printed. What could break that:
//   - Signatures are taken over the bytes of sr as they came: SDKs encode it differently, so decoding and encoding again changes them.
//   - All addresses go through NormalizePath, once: a token's resource, a claim's audience, a link's address. Two rules would be two doors.
//   - The host in a token is not compared: people dial localhost, a container's name, a forwarded port.
//
// Policy, SAS and ConnectionString print *** where their secrets are.
package auth

import (
	"fmt"
	"strings"
	"time"
)

// Right is a set of what a credential allows.
type Right uint8

// Manage includes the other two, as it does in the service.
const (
	Send Right = 1 << iota
	Listen
	Manage = 1<<iota | Send | Listen
)

// Has tells whether all of want is in r.
func (r Right) Has(want Right) bool { return r&want == want }

// String gives the names in alphabetical order: "Listen,Send". Manage stands alone, since it includes the others.
func (r Right) String() string {
	switch {
	case r.Has(Manage):
		return "Manage"
	case r.Has(Send | Listen):
		return "Listen,Send"
	case r.Has(Listen):
		return "Listen"
	case r.Has(Send):
		return "Send"
	}
	return "none"
}

// ParseRights reads names separated by commas, in any case: "send, Listen". At least one is needed.
func ParseRights(s string) (Right, error) {
	var rights Right
	for name := range strings.SplitSeq(s, ",") {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "send":
			rights |= Send
		case "listen":
			rights |= Listen
		case "manage":
			rights |= Manage
		default:
			return 0, fmt.Errorf("%.40q is not a right; the rights are Send, Listen and Manage", strings.TrimSpace(name))
		}
	}
	return rights, nil
}

// Kind says what a credential is, as far as the protocol that carried it knows.
type Kind uint8

const (
	KindSAS   Kind = iota + 1 // a SharedAccessSignature
	KindJWT                   // a JSON web token; clients are known to call a SAS token that as well, see IsSAS
	KindPlain                 // policy name and key: the name is passed as the audience, the key as the token
)

// Grant is what a credential gives. The zero Grant gives nothing.
type Grant struct {
	Namespace string
	Principal string // name of the policy, or the subject of a token
	Rights    Right
	Path      string    // normalised path of the entity it covers, with all below it; "": the whole namespace
	Expires   time.Time // zero: never
}

// Allows tells whether the grant gives all of r on path, and all below it, at the time now. The path must come from NormalizePath. With r
// zero it tells whether the grant gives anything there, which is what reading a hub's properties needs.
func (g Grant) Allows(r Right, path string, now time.Time) bool {
	return g.Rights != 0 && g.Rights.Has(r) && covers(g.Path, path) && (g.Expires.IsZero() || now.Before(g.Expires))
}

// Authenticator checks credentials. It is safe for concurrent use.
//
// The audience is the address the peer asks for, as it was received ("amqps://host/hub/..."), or "" for the whole namespace; for KindPlain
// it is the policy's name. The Grant may reach further than the audience. Every error is an *Error.
type Authenticator interface {
	Authenticate(kind Kind, token, audience string, now time.Time) (Grant, error)
}

// Reason says why a credential was refused.
type Reason uint8

const (
	Malformed    Reason = iota + 1 // not a credential of its kind
	UnknownKey                     // no policy of that name
	BadSignature                   // the policy is known, and the signature or key is not its
	Expired                        // Error.Expires is set
	WrongScope                     // genuine, but for something else than the audience
	Unsupported                    // this authenticator does not know that kind
)

// String names the reason for logs and metrics.
func (r Reason) String() string {
	switch r {
	case Malformed:
		return "malformed"
	case UnknownKey:
		return "unknown-key"
	case BadSignature:
		return "bad-signature"
	case Expired:
		return "expired"
	case WrongScope:
		return "wrong-scope"
	case Unsupported:
		return "unsupported"
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Error is why a credential was refused. It never holds a key or a signature.
type Error struct {
	Reason    Reason
	Principal string    // as the credential gives it, unchecked; "" if it could not be read
	Expires   time.Time // of an expired token
	Text      string    // for people; doors that must use the service's words go by Reason
}

func (e *Error) Error() string { return e.Text }
