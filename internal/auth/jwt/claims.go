package jwt

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

const nameBytesMax = 256 // of sub, client and jti

// claims are what a verified token says, by its issuer's word.
type claims struct {
	fields
	subject, client, id string
	kind                Kind
	exp, nbf, iat       time.Time // zero: not given, exp never
	audiences           []string
	tenant              string
}

// readClaims reads what every token must have right, whoever made it.
func readClaims(payload object) (*claims, *Error) {
	c := &claims{fields: fields{object: payload}}
	c.subject = c.text("sub")
	for _, name := range []string{"client_id", "azp", "appid", "cid"} { // RFC 9068, OpenID Connect, Entra version 1, Okta
		if value := c.text(name); c.client == "" {
			c.client = value
		}
	}
	if c.id = c.text("jti"); c.id == "" {
		c.id = c.text("uti")
	}
	c.tenant = c.text("tid")
	c.exp, c.nbf, c.iat = c.time("exp"), c.time("nbf"), c.time("iat")
	if raw := c.find("aud"); raw != nil {
		list, ok := texts(raw)
		c.expect(ok, "aud")
		c.audiences = list
	}
	kind := c.text("idtyp")
	if c.wrong != "" {
		return nil, refuse(BadClaim, "the claim %s is not of the form it must have (RFC 7519 section 4.1)", c.wrong)
	}
	if c.exp.IsZero() {
		return nil, refuse(BadClaim, "the token has no exp; tokens that never end are not taken")
	}
	for _, name := range []string{c.subject, c.client, c.id} {
		if len(name) > nameBytesMax || strings.ContainsFunc(name, isHidden) {
			return nil, refuse(BadClaim, "a name in the token is longer than %d bytes or has invisible characters", nameBytesMax)
		}
	}
	if c.subject == "" && c.client == "" {
		return nil, refuse(BadClaim, "the token names nobody: it has neither sub nor client_id, azp, appid or cid")
	}
	c.kind = c.kindOf(kind)
	return c, nil
}

// time reads a NumericDate (RFC 7519 section 2), which may have a fraction. Nothing before 1970 or after the year 9999 is one.
func (f *fields) time(name string) time.Time {
	raw := f.find(name)
	if raw == nil {
		return time.Time{}
	}
	const secondsMax = 253402300799
	seconds, ok := number(raw)
	ok = ok && 0 <= seconds && seconds <= secondsMax
	f.expect(ok, name)
	if !ok {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// isHidden tells of characters that make two names look the same: controls, marks of direction and other format characters, line ends.
func isHidden(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// kindOf is App only where the token shows it. Issuers show it in different ways:
//   - Entra by idtyp, if so configured; else by oid and sub being the same, and no scp.
//   - RFC 9068 (section 2.2) and Okta by sub being the client.
//   - Auth0 by gty.
func (c *claims) kindOf(idtyp string) Kind {
	oid, _ := text(c.find("oid"))
	gty, _ := text(c.find("gty"))
	switch {
	case idtyp == "app":
		return App
	case idtyp != "" || c.has("scp"):
		return User
	case c.subject == "":
		return App // no person is named
	case c.subject == c.client, c.subject == oid && c.tenant != "", gty == "client-credentials":
		return App
	}
	return User
}

func (c *claims) has(name string) bool { return c.find(name) != nil }

// values gives the strings of a claim, none if it has another form.
func (c *claims) values(claim string) []string {
	raw := c.path(claim)
	if s, ok := text(raw); ok && (claim == "scope" || claim == "scp") {
		return strings.Fields(s)
	}
	list, _ := texts(raw)
	return list
}

// isAccess tells whether the claims show an access token where typ does not. An ID token may well have our audience: a web page and its API
// often are one registration. It may even have roles, but then it has no client, or one of the marks of ID tokens. Older Keycloaks put
// nonce into access tokens too, beside scope.
func (c *claims) isAccess() bool {
	if c.has("at_hash") || c.has("c_hash") || c.has("s_hash") {
		return false
	}
	use, _ := text(c.find("token_use")) // Cognito
	typ, _ := text(c.find("typ"))       // Keycloak
	if use == "id" || typ == "ID" || typ == "Refresh" || typ == "Offline" || typ == "Logout" {
		return false
	}
	if c.has("scope") || c.has("scp") {
		return true
	}
	return c.client != "" && !c.has("nonce") && (c.has("roles") || c.has("permissions"))
}

// check holds a token's claims against what its issuer's must be.
func (i *Issuer) check(c *claims, now time.Time) *Error {
	from := c.iat
	if from.IsZero() {
		from = now
	}
	switch {
	case !now.Before(c.exp.Add(i.Leeway)):
		return refuse(Expired, "the token expired at %s; get a new one", c.exp.UTC().Format(time.RFC3339))
	case now.Before(c.nbf.Add(-i.Leeway)):
		return refuse(NotYet, "the token is not valid before %s; compare the clocks", c.nbf.UTC().Format(time.RFC3339))
	case now.Before(c.iat.Add(-i.Leeway)):
		return refuse(NotYet, "the token was issued in the future, at %s; compare the clocks", c.iat.UTC().Format(time.RFC3339))
	case c.exp.Sub(from) > i.LifetimeMax:
		return refuse(TooLong, "the token lives longer than the %v that are allowed; have the issuer make shorter ones", i.LifetimeMax)
	case !slices.ContainsFunc(c.audiences, func(have string) bool { return slices.Contains(i.Audiences, have) }):
		return refuse(WrongAudience, "the token is not for this service; ask its issuer for the audience %s", strings.Join(i.Audiences, " or "))
	case i.Tenant != "" && c.tenant != i.Tenant:
		return refuse(WrongTenant, "the token is of another tenant than %s", i.Tenant)
	}
	return nil
}
