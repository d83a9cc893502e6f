package jwt

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Reason says why a token was refused, for logs and metrics.
type Reason uint8

const (
	NoToken        Reason = iota + 1 // no credential of the scheme Bearer
	TwoTokens                        // more than one Authorization header
	Malformed                        // no signed token in compact form with strict JSON in it
	UnknownIssuer                    // iss is not trusted
	WrongAlgorithm                   // alg is not the issuer's, or not the key's
	WrongType                        // typ is not the issuer's, or this is an ID token
	UnknownKey                       // the issuer has no usable key of that kid
	BadSignature                     // the key did not sign this
	Expired                          // exp has passed
	NotYet                           // nbf or iat lies ahead
	TooLong                          // lives longer than the issuer's tokens may
	WrongAudience                    // aud names another service
	WrongTenant                      // tid is another
	BadClaim                         // a claim is missing, or of another form than it must be
	NoKeys                           // the issuer's keys cannot be had at present
	NoRight                          // genuine, and no rule allows it
	reasonCount
)

var reasonNames = [reasonCount]string{
	NoToken: "no_token", TwoTokens: "two_tokens", Malformed: "malformed", UnknownIssuer: "unknown_issuer", WrongAlgorithm: "wrong_algorithm",
	WrongType: "wrong_type", UnknownKey: "unknown_key", BadSignature: "bad_signature", Expired: "expired", NotYet: "not_yet",
	TooLong: "too_long", WrongAudience: "wrong_audience", WrongTenant: "wrong_tenant", BadClaim: "bad_claim", NoKeys: "no_keys",
	NoRight: "no_right",
}

func (r Reason) String() string {
	if r == 0 || r >= reasonCount {
		return fmt.Sprintf("reason(%d)", uint8(r))
	}
	return reasonNames[r]
}

// Error is why a request was refused. It never holds a token or a part of one.
type Error struct {
	Status     int           // of the HTTP answer: 400, 401, 403 or 503
	Code       string        // RFC 6750 section 3.1: invalid_request, invalid_token, insufficient_scope; "" with NoToken and NoKeys
	Reason     Reason        // finer than Code
	Text       string        // what was wrong and what to do, for the client's person
	RetryAfter time.Duration // 503 only: when the answer may be another
	Err        error         // cause, for the operator; may be nil
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error { return e.Err }

// TookWork tells whether finding it out took a signature's check or a question to the issuer, and anyone can make as many such tokens as they
// like. Of those that an issuer has signed there are few, and each is looked at once in a while.
func (e *Error) TookWork() bool { return e.Reason == BadSignature || e.Reason == UnknownKey }

// lasts tells whether the same token will be refused again as long as the keys are the same.
func (e *Error) lasts() bool { return e.Reason != NotYet && e.Reason != TooLong }

// Challenge is the value of WWW-Authenticate for this answer (RFC 6750 section 3), "" for a 503, which is not the token's fault. More
// parameters may be appended after a comma.
func (e *Error) Challenge(realm string) string {
	if e.Status == http.StatusServiceUnavailable {
		return ""
	}
	challenge := `Bearer realm="` + quotable(realm) + `"`
	if e.Code != "" {
		challenge += `, error="` + e.Code + `", error_description="` + quotable(e.Text) + `"`
	}
	return challenge
}

// quotable keeps what may stand in an error_description as it is (RFC 6750 section 3: no quote, no backslash, ASCII only).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
}

// refuse makes the usual refusal: the client should get another token.
func refuse(reason Reason, format string, args ...any) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: "invalid_token", Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// unavailable is for a token that may be good and cannot be checked.
func unavailable(retryAfter time.Duration, cause error, format string, args ...any) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Reason: NoKeys, RetryAfter: max(retryAfter, time.Second),
		Text: fmt.Sprintf(format, args...), Err: cause,
	}
}
