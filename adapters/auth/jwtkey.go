package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// MinSecret is the shortest HMAC secret, in bytes: RFC 7518 wants as many as
// the hash has.
const MinSecret = 32

// parseKey returns the key that verifies tokens, and the algorithms that fit
// its type.
func parseKey(cfg JWTConfig) (key any, algorithms []string, err error) {
	switch {
	case cfg.Secret != "" && cfg.PublicKey != "":
		return nil, nil, errors.New("both a secret and a public key: keep one")
	case cfg.Secret != "":
		if len(cfg.Secret) < MinSecret {
			return nil, nil, fmt.Errorf("the secret has %d bytes, at least %d are needed: "+
				"`openssl rand -base64 48` makes a good one", len(cfg.Secret), MinSecret)
		}
		return []byte(cfg.Secret), []string{"HS256", "HS384", "HS512"}, nil
	case cfg.PublicKey != "":
		return parsePublicKey(cfg.PublicKey)
	default:
		return nil, nil, errors.New("neither a secret nor a public key")
	}
}

func parsePublicKey(text string) (key any, algorithms []string, err error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, nil, errors.New(`the public key must be PEM that begins with "-----BEGIN PUBLIC KEY-----": ` +
			"`openssl pkey -in private.pem -pubout` prints it")
	}
	key, err = x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("the public key cannot be read: want RSA, ECDSA or Ed25519")
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, nil, fmt.Errorf("the RSA key has %d bits, at least 2048 are needed", k.N.BitLen())
		}
		return k, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		alg := map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Params().BitSize]
		if alg == "" {
			return nil, nil, errors.New("the ECDSA key's curve must be P-256, P-384 or P-521")
		}
		return k, []string{alg}, nil
	case ed25519.PublicKey:
		return k, []string{"EdDSA"}, nil
	default:
		return nil, nil, errors.New("the public key is of an unknown kind: want RSA, ECDSA or Ed25519")
	}
}
