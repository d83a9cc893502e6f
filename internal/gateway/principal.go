package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/evhub-dev/evhub/internal/auth/jwt"
)

// TokenVerifier finds out on whose behalf a request comes. It is safe for concurrent use.
type TokenVerifier interface {
	// Verify takes all values of the Authorization header as they came. A credential that is refused gives a *TokenError; any other
	// error means that it could not be checked.
	Verify(ctx context.Context, authorization []string) (Principal, error)
	// Remembered answers as Verify would where that comes at next to no cost, as for a credential that was seen a short time ago. It gives
	// neither principal nor error where Verify has to look.
	Remembered(authorization []string) (Principal, error)
}

// Principal is a caller.
type Principal interface {
	// ID is the same for all tokens of one caller and different for different ones. It is what quotas, shares and idempotency keys go by.
	ID() string
	// MayPublish tells how much the caller may publish to a hub, which need not exist; a *TokenError says that it may not.
	MayPublish(hub string) (Quota, error)
	// Identity is for the audit log.
	Identity() Identity
}

// Quota is how much a caller may publish.
type Quota struct {
	Rule              int     // callers have one quota for each rule that lets them in
	MessagesPerSecond float64 // 0: any number
	BytesPerSecond    int64   // 0: any number
}

// Identity is what a token says about its holder.
type Identity struct {
	Issuer, Subject, Client, TokenID string
}

// TokenError is why a credential was refused.
type TokenError struct {
	Status     int                       // 400, 401, 403 or 503
	Text       string                    // for the caller
	Challenge  func(realm string) string // value of WWW-Authenticate; nil: none
	RetryAfter time.Duration             // of 503
	TookWork   bool                      // finding it out was as costly as for a good credential, or more
}

func (e *TokenError) Error() string { return e.Text }

// JWT lets in the holders of JSON web tokens.
func JWT(v *jwt.Verifier) TokenVerifier { return bearer{v} }

type bearer struct{ v *jwt.Verifier }

func (b bearer) Verify(ctx context.Context, authorization []string) (Principal, error) {
	p, err := b.v.Verify(ctx, authorization)
	if err != nil {
		return nil, tokenError(err)
	}
	return holder{p}, nil
}

func (b bearer) Remembered(authorization []string) (Principal, error) {
	p, err := b.v.Remembered(authorization)
	if p == nil {
		return nil, tokenError(err)
	}
	return holder{p}, nil
}

func tokenError(err error) error {
	e, ok := errors.AsType[*jwt.Error](err)
	if !ok {
		return err
	}
	return &TokenError{e.Status, e.Text, e.Challenge, e.RetryAfter, e.TookWork()}
}

// holder is a token's, and no larger than a pointer, so that it becomes a Principal without an allocation.
type holder struct{ p *jwt.Principal }

func (h holder) ID() string { return h.p.ID() }

func (h holder) Identity() Identity {
	return Identity{h.p.Issuer, h.p.Subject, h.p.Client, h.p.TokenID}
}

func (h holder) MayPublish(hub string) (Quota, error) {
	limit, ok := h.p.Allows(hub, jwt.Send)
	if !ok {
		return Quota{}, tokenError(h.p.Refuse(hub, jwt.Send))
	}
	return Quota{limit.Rule, limit.Rate, limit.BytesPerSecond}, nil
}
