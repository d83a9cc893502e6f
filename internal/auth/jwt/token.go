package jwt

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	tokenBytesMax = 8 << 10
	kidBytesMax   = 128
)

// bearer takes the token out of a request's Authorization headers (RFC 6750 section 2.1).
func bearer(authorization []string) (string, *Error) {
	if len(authorization) > 1 {
		return "", &Error{
			Status: http.StatusBadRequest, Code: "invalid_request", Reason: TwoTokens,
			Text: "the request has more than one Authorization header; send one",
		}
	}
	const scheme = "Bearer "
	if len(authorization) == 0 || len(authorization[0]) < len(scheme) || !strings.EqualFold(authorization[0][:len(scheme)], scheme) {
		return "", &Error{
			Status: http.StatusUnauthorized, Reason: NoToken,
			Text: "a token is needed, in the header Authorization: Bearer <token>",
		}
	}
	token := strings.TrimLeft(authorization[0][len(scheme):], " ")
	if len(token) > tokenBytesMax {
		return "", refuse(Malformed, "the token has %d bytes, more than the %d that are read", len(token), tokenBytesMax)
	}
	return token, nil
}

// token is a signed token, read and not yet verified.
type token struct {
	compact       string
	alg, kid, typ string
	payload       object
	issuer        string
}

// parseToken reads the compact form (RFC 7515 section 7.1). White space, padding, unused bits and all else that would give one token two
// texts is refused.
func parseToken(compact string) (*token, *Error) {
	if strings.Trim(compact, base64url+".") != "" {
		return nil, refuse(Malformed, "the token has characters that are not of base64url (RFC 7515 section 2)")
	}
	parts := strings.SplitN(compact, ".", 4)
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, refuse(Malformed, "the token does not have three parts with dots between: header, claims, signature")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return nil, refuse(Malformed, "the %s of the token is not base64url without padding", [...]string{"header", "claims part", "signature"}[i])
		}
	}
	t := &token{compact: compact}
	if err := t.readHeader(decoded[0]); err != nil {
		return nil, err
	}
	payload, err := parseObject(decoded[1])
	if err != nil {
		return nil, refuse(Malformed, "the claims part of the token %v", err)
	}
	t.payload = payload
	var ok bool
	if t.issuer, ok = text(payload.find("iss")); !ok {
		return nil, refuse(BadClaim, "the token does not say who issued it: iss is not a string")
	}
	return t, nil
}

func (t *token) readHeader(data []byte) *Error {
	header, err := parseObject(data)
	if err != nil {
		return refuse(Malformed, "the header of the token %v", err)
	}
	// crit asks for extensions, of which we have none; the others change what is signed or how it is read (RFC 7515 4.1.11, 7516, 7797).
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if header.find(name) != nil {
			return refuse(Malformed, "the header of the token has %s, which is not supported", name)
		}
	}
	f := fields{object: header}
	t.alg, t.kid, t.typ = f.text("alg"), f.text("kid"), f.text("typ")
	if f.wrong != "" {
		return refuse(Malformed, "the header of the token has a %s that is not a string", f.wrong)
	}
	if header.find("kid") != nil && t.kid == "" || len(t.kid) > kidBytesMax {
		return refuse(Malformed, "the kid of the token does not have 1 to %d bytes", kidBytesMax)
	}
	return nil
}

// checkHeader holds the header against what the issuer's must be. An at+jwt is an access token by its own word (RFC 9068 section 2.1).
func (t *token) checkHeader(i *Issuer) *Error {
	if !slices.Contains(i.Algorithms, t.alg) {
		return refuse(WrongAlgorithm, "the token is signed with an algorithm that is not taken; taken are %s", strings.Join(i.Algorithms, ", "))
	}
	typ := mediaType(t.typ)
	if i.Type != "" && typ != mediaType(i.Type) {
		return refuse(WrongType, "the typ of the token must be %s", i.Type)
	}
	if i.Type == "" && typ != "" && typ != "jwt" && typ != "at+jwt" {
		return refuse(WrongType, "the typ of the token must be at+jwt or JWT")
	}
	return nil
}

// checkAccess is for every token that is not an access token by its own word: what an issuer writes JWT on may be an ID token.
func (t *token) checkAccess(c *claims) *Error {
	if mediaType(t.typ) != "at+jwt" && !c.isAccess() {
		return refuse(WrongType, "this does not look like an access token: it has no scope, scp, roles or permissions, or has what ID tokens have")
	}
	return nil
}

// mediaType is a typ as it is compared (RFC 7515 section 4.1.9).
func mediaType(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }

// verify checks the signature with the keys that may have made it: one, or the few of a PEM file.
func (t *token) verify(keys []key) *Error {
	fits := false
	for _, k := range keys {
		if k.algorithm != t.alg {
			continue
		}
		fits = true
		algorithm := jose.SignatureAlgorithm(k.algorithm)
		signed, err := jose.ParseSignedCompact(t.compact, []jose.SignatureAlgorithm{algorithm})
		if err != nil {
			return refuse(Malformed, "the header of the token cannot be read")
		}
		if _, err := signed.Verify(k.public); err == nil {
			return nil
		}
	}
	if !fits {
		return refuse(WrongAlgorithm, "the key that the token names is for another algorithm than the token's")
	}
	return refuse(BadSignature, "the signature of the token is not its issuer's")
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
