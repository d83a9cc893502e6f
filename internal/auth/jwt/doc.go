// Package jwt turns the bearer token of an HTTP request into a principal with rights to hubs, or into a refusal that says what was wrong.
//
// What its users need: that no token gets in which its issuer did not make for this service, that a token gets exactly what the rules give
// it, that a request whose token was seen before costs a microsecond, and that an issuer that is slow, down or changing its keys is not
// felt. What could break that, and the rule that keeps it whole:
//   - A token passes these steps in this order, and the first that fails ends it: shape (at most 8 KiB, three parts of canonical base64url);
//     the cache of verified tokens; strict JSON (no name twice, at the top not even in other case); a trusted issuer, by exact iss; that
//     issuer's algorithms and typ, kid; one key, bound to one algorithm; the signature (go-jose's JWS part; never its JWE, never its claims);
//     times, audience, tenant, names. What a header says about keys (jwk, jku, x5u, x5c) is never looked at.
//   - Deny by default: a principal may do what a Rule gives it, and hub names are compared byte by byte.
//   - The text of a token is no identity: an ECDSA signature can be turned into another that is as good. Accounts go by Principal.ID,
//     protection against replay by Principal.TokenID. The caches go by the text's SHA-256: one holds accepted tokens only; the other, for a
//     minute at most, genuine ones that are of no use here (expired, another audience or tenant), and only refuses. Both are emptied when a
//     key set changes, so that a token dies with its key.
//   - A refused token never causes a fetch, except for an unknown kid: one an issuer in 30 s. A request whose key is known never waits.
//
// Keys of an issuer. A set is fetched over https with 5 s, 256 KiB, 64 keys and 3 redirects on the same host at most, every 10 minutes or
// as its Cache-Control says (1 min to 1 h) and up to a tenth later, and after a failure from 2 s to 1 min apart. The last good set is used
// for up to 24 h. Where the address of the set is looked up, that is done every hour; while the metadata cannot be had, or are not the
// issuer's, the last good address is used until it is 24 h old, so that keys can still change there. In a set, a key that cannot be used is
// passed over and logged: another use than sig, an unknown or symmetric kind, RSA outside 2048 to 4096 bits, private parts, an algorithm
// the issuer may not use, no kid. Two different keys with one kid are both passed over. An RSA key that names no algorithm is for the first
// RSA algorithm of the issuer's list. Keys in a PEM file have no kid: a token is tried with each of them that fits its algorithm, so there
// may be four.
package jwt
