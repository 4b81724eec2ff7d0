package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// MinSecret is the length of the shortest HMAC secret, in bytes. [RFC 7518 §3.2]
// requires a secret that is at least as long as the hash.
//
// [RFC 7518 §3.2]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
const MinSecret = 32

// maxKeys is the largest number of public keys, since a forged token costs a
// verification with each of them.
const maxKeys = 16

// A key verifies signatures of the algorithms that fit its type, and of no
// others.
type key struct {
	id         string // the kid of a key in an issuer's set; "" if it has none
	public     any    // a public key, or an HMAC secret as []byte
	algorithms []string
	macs       map[string]*macs // of an HMAC secret, by algorithm

	// removed is set when the issuer's set no longer has the key. From then on tokens
	// that were verified with it, and are remembered, do not count.
	removed atomic.Bool
}

// same reports whether k and other verify the same signatures of the same tokens.
func (k *key) same(other *key) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && slices.Equal(k.algorithms, other.algorithms) &&
		public.Equal(other.public)
}

// verifies reports whether the token is signed with the key, which is for the token's
// algorithm. The JWT library is used for public-key cryptography alone, and not to
// parse tokens.
func (k *key) verifies(s signed) bool {
	if m := k.macs[s.algorithm]; m != nil {
		return m.verify(s.input, s.signature)
	}
	method := jwt.GetSigningMethod(s.algorithm)
	return method.Verify(string(s.input), s.signature, k.public) == nil
}

// macs are states of an HMAC with one secret and hash ([RFC 7518 §3.2]). To make one
// costs as much as to hash a token, so they are used again.
//
// [RFC 7518 §3.2]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
type macs struct{ pool sync.Pool }

func newMacs(secret []byte, function func() hash.Hash) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{Hash: hmac.New(function, secret)} }}}
}

// A mac is one of the macs, with room for its result.
type mac struct {
	hash.Hash
	sum [sha512.Size]byte
}

// verify reports, in a time that does not depend on how much of it is right, whether
// the signature is that of the input.
func (m *macs) verify(input, signature []byte) bool {
	h := m.pool.Get().(*mac)
	defer m.pool.Put(h)
	h.Reset()
	h.Write(input)
	return hmac.Equal(h.Sum(h.sum[:0]), signature)
}

// parseKeys returns the keys that verify tokens: at least one, unless they are fetched.
func parseKeys(cfg JWTConfig) ([]*key, error) {
	switch {
	case cfg.sources() > 1:
		return nil, errors.New("more than one of a secret, a public key and a set of keys to fetch: " +
			"keep one")
	case cfg.PreviousSecret != "" && cfg.Secret == "":
		return nil, errors.New("a previous secret without a secret: set the secret, too")
	case cfg.Secret != "":
		return parseSecrets(cfg)
	case cfg.PublicKey != "":
		return parsePublicKeys(cfg.PublicKey)
	case cfg.fetches():
		return nil, nil
	default:
		return nil, errors.New("neither a secret nor a public key, and no set of keys to fetch")
	}
}

// parseSecrets returns the secret, with which tokens are also signed, and the previous
// one behind it.
func parseSecrets(cfg JWTConfig) ([]*key, error) {
	if err := checkSecret("secret", cfg.Secret); err != nil {
		return nil, err
	}
	keys := []*key{secretKey([]byte(cfg.Secret))}
	if cfg.PreviousSecret == "" {
		return keys, nil
	}
	if err := checkSecret("previous secret", cfg.PreviousSecret); err != nil {
		return nil, err
	}
	return append(keys, secretKey([]byte(cfg.PreviousSecret))), nil
}

func checkSecret(name, secret string) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("the %s has %d bytes, at least %d are needed: "+
			"`openssl rand -base64 48` makes a good one", name, len(secret), MinSecret)
	}
	if strings.Contains(secret, pemBegin) {
		// As an HMAC secret, a public key would let everybody who knows it
		// sign tokens.
		return fmt.Errorf("the %s is a key in PEM: a public key belongs in public_key, "+
			"and a private one on no node", name)
	}
	return nil
}

func secretKey(secret []byte) *key {
	return &key{public: secret, algorithms: []string{"HS256", "HS384", "HS512"}, macs: map[string]*macs{
		"HS256": newMacs(secret, sha256.New),
		"HS384": newMacs(secret, sha512.New384),
		"HS512": newMacs(secret, sha512.New),
	}}
}

// parsePublicKeys reads all keys in the text. There may be several, so that
// tokens of the old key and of the new one are accepted while keys are rotated.
// Between them there may be empty lines and comments that begin with "#".
// Anything else is refused, since it could be a damaged key that somebody
// believes to be in use.
func parsePublicKeys(text string) (keys []*key, err error) {
	for {
		if text = skipComments(text); text == "" {
			break
		}
		var block *pem.Block
		if block, text, err = cutBlock(text); err != nil {
			return nil, numbered(len(keys), text == "", err)
		}
		k, err := parsePublicKey(block)
		if err != nil {
			return nil, numbered(len(keys), text == "", err)
		}
		keys = append(keys, k)
	}
	switch {
	case len(keys) == 0:
		return nil, errNoPEM
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("there are %d public keys, at most %d are used", len(keys), maxKeys)
	}
	return keys, nil
}

// numbered adds to an error which key it is about, if there is more than one.
func numbered(before int, last bool, err error) error {
	if before == 0 && last {
		return err
	}
	return fmt.Errorf("key %d: %w", before+1, err)
}

func skipComments(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if !strings.HasPrefix(text, "#") {
			return text
		}
		_, text, _ = strings.Cut(text, "\n")
	}
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)

var errNoPEM = errors.New(`want PEM that begins with "-----BEGIN PUBLIC KEY-----": ` +
	"`openssl pkey -in private.pem -pubout` prints it")

// cutBlock reads the PEM block that the text begins with, and returns the rest.
// It finds the block's end by itself, since pem.Decode skips what it cannot read.
func cutBlock(text string) (*pem.Block, string, error) {
	if !strings.HasPrefix(text, pemBegin) {
		return nil, "", errNoPEM
	}
	end := strings.Index(text, pemEnd)
	if end < 0 {
		return nil, "", errors.New(`there is no "-----END PUBLIC KEY-----"`)
	}
	rest := ""
	if line := strings.IndexByte(text[end:], '\n'); line >= 0 {
		text, rest = text[:end+line], text[end+line:]
	}
	kind, _, _ := strings.Cut(text[len(pemBegin):], "-----")
	if strings.Contains(kind, "PRIVATE KEY") {
		return nil, rest, errors.New("it is a private key, which a node must not have: " +
			"`openssl pkey -in private.pem -pubout` prints the public one")
	}
	block, after := pem.Decode([]byte(strings.TrimRight(text, " \t\r\n")))
	switch {
	case block == nil || len(after) > 0 || strings.Count(text, pemBegin) > 1:
		return nil, rest, errors.New("the PEM text is damaged")
	case block.Type != "PUBLIC KEY" && block.Type != "RSA PUBLIC KEY" && block.Type != "CERTIFICATE":
		return nil, rest, fmt.Errorf("it is of the type %.40q: %w", block.Type, errNoPEM)
	}
	return block, rest, nil
}

// parsePublicKey reads the key of a block that cutBlock has returned. Of a certificate
// only the key counts: whoever configures it vouches for it, for as long as it is there.
func parsePublicKey(block *pem.Block) (*key, error) {
	var public any
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err != nil {
			return nil, errors.New("the certificate cannot be read")
		}
		public = c.PublicKey
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the public key cannot be read: want RSA, ECDSA or Ed25519")
	}
	return publicKey(public)
}

// The bounds of RSA keys. Weaker ones can be broken, and to verify with larger ones
// takes long.
const (
	minRSABits = 2048
	maxRSABits = 16384
)

// publicKey returns the key that verifies with a public key. It fixes the algorithms.
func publicKey(public any) (*key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < minRSABits:
			return nil, fmt.Errorf("the RSA key has %d bits, at least %d are needed", bits, minRSABits)
		case bits > maxRSABits:
			return nil, fmt.Errorf("the RSA key has %d bits, at most %d are taken", bits, maxRSABits)
		}
		return &key{
			public: k, algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
		}, nil
	case *ecdsa.PublicKey:
		alg := map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Params().BitSize]
		if alg == "" {
			return nil, errors.New("the ECDSA key's curve must be P-256, P-384 or P-521")
		}
		return &key{public: k, algorithms: []string{alg}}, nil
	case ed25519.PublicKey:
		return &key{public: k, algorithms: []string{"EdDSA"}}, nil
	default:
		return nil, errors.New("the public key is of an unknown kind: want RSA, ECDSA or Ed25519")
	}
}
