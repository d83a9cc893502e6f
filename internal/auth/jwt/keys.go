package jwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	setBytesMax = 256 << 10
	setKeysMax  = 64
	pemKeysMax  = 4 // each may cost a verification for every forged token
	rsaBitsMin  = 2048
	rsaBitsMax  = 4096
)

// key verifies signatures of one algorithm (RFC 8725 section 3.1).
type key struct {
	algorithm string
	public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

func (k key) equal(other key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.algorithm == other.algorithm && public.Equal(other.public)
}

// keySet is what an issuer signs with, at one time. It is immutable.
type keySet struct {
	named    map[string][]key // by kid; one each
	unnamed  []key            // of a PEM file
	ignored  []string         // why keys were passed over
	document [sha256.Size]byte
	until    time.Time // when it is too old to be used; zero: never
}

// keys are those that may have signed a token with this kid, which is "" if the token has none.
func (s *keySet) keys(kid string) []key {
	if s.unnamed != nil {
		return s.unnamed
	}
	return s.named[kid]
}

func (s *keySet) size() int { return len(s.named) + len(s.unnamed) }

func (s *keySet) checkUsable() error {
	if s.size() == 0 {
		return fmt.Errorf("the key set has no key that can be used: %q", s.ignored)
	}
	return nil
}

// parseJWKS reads a JWK set (RFC 7517 section 5). Keys that cannot be used are passed over; a document that is no set is an error.
func parseJWKS(data []byte, allowed []string) (*keySet, error) {
	document, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("the key set %w", err)
	}
	values, ok := elements(document.find("keys"))
	if !ok {
		return nil, errors.New("the key set has no array keys (RFC 7517 section 5)")
	}
	if len(values) > setKeysMax {
		return nil, fmt.Errorf("the key set has %d keys, more than the %d that are read", len(values), setKeysMax)
	}
	set := &keySet{named: make(map[string][]key), document: sha256.Sum256(data)}
	for i, value := range values {
		kid, k, err := parseJWK(value, allowed)
		if err != nil {
			set.ignored = append(set.ignored, fmt.Sprintf("keys[%d] (%.40q): %v", i, kid, err))
			continue
		}
		set.named[kid] = append(set.named[kid], k)
	}
	set.dropAmbiguous()
	return set, nil
}

// dropAmbiguous leaves one key for each kid: the same key twice is one, different keys are none.
func (s *keySet) dropAmbiguous() {
	for kid, keys := range s.named {
		keys = slices.CompactFunc(keys, key.equal)
		if s.named[kid] = keys; len(keys) > 1 {
			delete(s.named, kid)
			s.ignored = append(s.ignored, fmt.Sprintf("%d different keys have the kid %.40q", len(keys), kid))
		}
	}
}

func parseJWK(data []byte, allowed []string) (kid string, k key, err error) {
	document, err := parseObject(data)
	if err != nil {
		return "", key{}, err
	}
	f := fields{object: document}
	kid = f.text("kid")
	kty, use, algorithm := f.text("kty"), f.text("use"), f.text("alg")
	operations := []string{"verify"}
	if raw := f.find("key_ops"); raw != nil {
		list, ok := texts(raw)
		f.expect(ok, "key_ops")
		operations = list
	}
	switch {
	case f.wrong != "":
		return kid, key{}, fmt.Errorf("%s is not of the form it must have", f.wrong)
	case kid == "" || len(kid) > kidBytesMax:
		return kid, key{}, fmt.Errorf("kid does not have 1 to %d bytes", kidBytesMax)
	case use != "" && use != "sig" || !slices.Contains(operations, "verify"):
		return kid, key{}, errors.New("is not for verifying signatures, by use or key_ops")
	case kty != "RSA" && kty != "EC" && kty != "OKP":
		return kid, key{}, errors.New("kty is not RSA, EC or OKP")
	case f.find("d") != nil:
		return kid, key{}, errors.New("has its private part with it, so anyone may have it; make a new one")
	}
	public, err := parsePublic(f.object)
	if err != nil {
		return kid, key{}, err
	}
	k, err = bind(public, algorithm, allowed)
	return kid, k, err
}

// parsePublic gives only what makes the key to go-jose, which checks that it is one. What else a set may say about it, certificates above
// all, must not stand in the way.
func parsePublic(document object) (crypto.PublicKey, error) {
	parts := make(map[string]json.RawMessage)
	for _, name := range []string{"kty", "crv", "n", "e", "x", "y"} {
		if raw := document.find(name); raw != nil {
			parts[name] = raw
		}
	}
	data, err := json.Marshal(parts)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return nil, errors.New("cannot be read: " + err.Error())
	}
	return parsed.Key, nil
}

// parsePEM reads public keys and certificates, whose dates and signatures do not matter: who wrote the file vouches for them.
func parsePEM(data []byte, allowed []string) (*keySet, error) {
	set := &keySet{document: sha256.Sum256(data)}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		public, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		k, err := bind(public, "", allowed)
		if err != nil {
			return nil, fmt.Errorf("the key of block %d: %w", len(set.unnamed), err)
		}
		if set.unnamed = append(set.unnamed, k); len(set.unnamed) > pemKeysMax {
			return nil, fmt.Errorf("the file has more than %d keys; use a JWK set, whose keys have names", pemKeysMax)
		}
	}
	if len(set.unnamed) == 0 {
		return nil, errors.New("the file is neither a JWK set nor has it a PEM block with a key")
	}
	return set, nil
}

func parseBlock(block *pem.Block) (crypto.PublicKey, error) {
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		return nil, fmt.Errorf("the file has a block %.40q; it may have public keys and certificates only", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the block %s cannot be read: %w", block.Type, err)
	}
	return public, nil
}

// parseKeyFile tells a JWK set from PEM by its first character.
func parseKeyFile(data []byte, allowed []string) (*keySet, error) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return parseJWKS(data, allowed)
	}
	return parsePEM(data, allowed)
}

// algorithms that a token may be signed with, each with the kind of its keys.
var algorithms = map[string]string{
	"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
	"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
}

// bind gives a key its one algorithm: the one named, else the first allowed that keys of its kind have.
func bind(public crypto.PublicKey, algorithm string, allowed []string) (key, error) {
	kind, err := kindOfKey(public)
	if err != nil {
		return key{}, err
	}
	if algorithm == "" {
		at := slices.IndexFunc(allowed, func(name string) bool { return algorithms[name] == kind })
		if at < 0 {
			return key{}, fmt.Errorf("no algorithm of %s keys is allowed for this issuer", kind)
		}
		algorithm = allowed[at]
	}
	switch {
	case !slices.Contains(allowed, algorithm):
		return key{}, fmt.Errorf("its algorithm %.20q is not allowed for this issuer", algorithm)
	case algorithms[algorithm] != kind:
		return key{}, fmt.Errorf("its algorithm %s is not for %s keys", algorithm, kind)
	}
	return key{algorithm, public}, nil
}

func kindOfKey(public crypto.PublicKey) (string, error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < rsaBitsMin || bits > rsaBitsMax {
			return "", fmt.Errorf("an RSA key of %d bits; it must have %d to %d", bits, rsaBitsMin, rsaBitsMax)
		}
		if public.E < 3 || public.E%2 == 0 {
			return "", fmt.Errorf("an RSA key with the exponent %d", public.E)
		}
		return "RSA", nil
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return public.Curve.Params().Name, nil
		}
	case ed25519.PublicKey:
		return "Ed25519", nil
	}
	return "", fmt.Errorf("a key of the kind %T is not supported", public)
}
