package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// jwk returns a public key as an issuer publishes it, with more members.
func jwk(t testing.TB, public crypto.PublicKey, more map[string]any) string {
	t.Helper()
	text, err := (&jose.JSONWebKey{Key: public}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		members[name] = value
	}
	if text, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func newECDSA(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

type member = map[string]any

// The type of a key fixes its algorithms, and its alg narrows them.
func TestKeysOfASetFixTheirAlgorithms(t *testing.T) {
	rsaKey, p256 := newRSA(t, 2048).Public(), newECDSA(t, elliptic.P256()).Public()
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	all := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	for _, test := range []struct {
		name, text string
		want       []string // algorithms; nil if the key is left out
		why        string   // is in the reason
	}{
		{"RSA", jwk(t, rsaKey, member{"kid": "a", "use": "sig", "x5t": 7, "x5c": []string{"none"}}), all, ""},
		{"RSA for one algorithm", jwk(t, rsaKey, member{"alg": "RS256"}), []string{"RS256"}, ""},
		{"ECDSA", jwk(t, p256, nil), []string{"ES256"}, ""},
		{"P-384", jwk(t, newECDSA(t, elliptic.P384()).Public(), nil), []string{"ES384"}, ""},
		{"P-521", jwk(t, newECDSA(t, elliptic.P521()).Public(), member{"alg": "ES512"}), []string{"ES512"}, ""},
		{"Ed25519", jwk(t, edwards, member{"key_ops": []string{"verify"}}), []string{"EdDSA"}, ""},
		{"a weak key", jwk(t, newRSA(t, 1024).Public(), nil), nil, "1024 bits"},
		{"for encryption", jwk(t, rsaKey, member{"use": "enc"}), nil, `use is "enc"`},
		{"to encrypt", jwk(t, rsaKey, member{"key_ops": []string{"encrypt", "wrapKey"}}), nil, "key_ops"},
		{"with an algorithm for encryption", jwk(t, rsaKey, member{"alg": "RSA-OAEP"}), nil, `alg is "RSA-OAEP"`},
		{"with another type's algorithm", jwk(t, p256, member{"alg": "RS256"}), nil, `alg is "RS256"`},
		{"with HMAC", jwk(t, p256, member{"alg": "HS256"}), nil, `alg is "HS256"`},
		{"symmetric", `{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0","alg":"HS256"}`, nil, "private or symmetric"},
		{"private", jwk(t, p256, member{"d": "AQAB"}), nil, "private or symmetric"},
		{"of an unknown type", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, nil, "no public key"},
		{"of an unknown curve", jwk(t, p256, member{"crv": "secp256k1"}), nil, "no public key"},
		{"not on its curve", jwk(t, p256, member{"x": strings.Repeat("A", 43)}), nil, "no public key"},
		{"not to agree on keys", `{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`, nil, "no public key"},
		{"without a modulus", jwk(t, rsaKey, member{"n": ""}), nil, "0 bits"},
		{"with a number for a name", jwk(t, rsaKey, member{"kid": 7}), nil, "cannot be read"},
		{"with a name twice", strings.Replace(jwk(t, p256, nil), "{", `{"kid":"a","kid":"b",`, 1), nil, "cannot be read"},
		{"no object", `"key"`, nil, "cannot be read"},
	} {
		keys, ignored, err := parseKeySet([]byte(set(test.text)))
		switch {
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want == nil && (len(keys) > 0 || len(ignored) != 1 || !strings.Contains(ignored[0], test.why)):
			t.Errorf("%s: %d keys, left out %q", test.name, len(keys), ignored)
		case test.want != nil && (len(keys) != 1 || !slices.Equal(keys[0].algorithms, test.want)):
			t.Errorf("%s: %d keys, left out %q", test.name, len(keys), ignored)
		}
	}
}

// Each algorithm verifies what its key has signed, and refuses what another has.
func TestEveryAlgorithmOfASetVerifies(t *testing.T) {
	rsaKey, other := newRSA(t, 2048), newRSA(t, 2048)
	p256, p384, p521 := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P384()), newECDSA(t, elliptic.P521())
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	keys, ignored, err := parseKeySet([]byte(set(
		jwk(t, rsaKey.Public(), member{"kid": "rsa"}), jwk(t, other.Public(), member{"kid": "other"}), jwk(t, p256.Public(), member{"kid": "p256"}),
		jwk(t, p384.Public(), member{"kid": "p384"}), jwk(t, p521.Public(), member{"kid": "p521"}), jwk(t, edwards.Public(), member{"kid": "ed"}),
	)))
	if err != nil || len(ignored) > 0 {
		t.Fatal(err, ignored)
	}
	all := &keySet{keys: keys, named: true}
	for _, test := range []struct {
		method  jwt.SigningMethod
		id      string
		private any
	}{
		{jwt.SigningMethodRS256, "rsa", rsaKey}, {jwt.SigningMethodRS384, "rsa", rsaKey}, {jwt.SigningMethodRS512, "rsa", rsaKey},
		{jwt.SigningMethodPS256, "rsa", rsaKey}, {jwt.SigningMethodPS384, "rsa", rsaKey}, {jwt.SigningMethodPS512, "rsa", rsaKey},
		{jwt.SigningMethodES256, "p256", p256}, {jwt.SigningMethodES384, "p384", p384}, {jwt.SigningMethodES512, "p521", p521},
		{jwt.SigningMethodEdDSA, "ed", edwards},
	} {
		const input = "header.payload"
		signature, err := test.method.Sign(input, test.private)
		if err != nil {
			t.Fatal(err)
		}
		s := signed{input: []byte(input), algorithm: test.method.Alg(), keyID: test.id, signature: signature}
		if k, err := all.verify(s); err != nil || k.id != test.id {
			t.Errorf("%s: %v", s.algorithm, err)
		}
		s.keyID = ""
		if k, err := all.verify(s); err != nil || k.id != test.id {
			t.Errorf("%s without a kid: %v", s.algorithm, err)
		}
		s.keyID, s.signature = "other", signature
		if k, err := all.verify(s); err == nil {
			t.Errorf("%s: the key %s has verified what it has not signed", s.algorithm, k.id)
		}
	}
}

func TestWhatIsNoSetIsRefused(t *testing.T) {
	key := jwk(t, newECDSA(t, elliptic.P256()).Public(), nil)
	for text, want := range map[string]string{
		``:                                       "no JSON Web Key Set",
		`{}`:                                     `no "keys"`,
		`[` + key + `]`:                          "no JSON Web Key Set",
		`{"keys":` + key + `}`:                   "no JSON Web Key Set",
		`{"Keys":[]}`:                            `no "keys"`,
		`{"keys":[],"keys":[` + key + `]}`:       "no JSON Web Key Set",
		set(key) + "x":                           "no JSON Web Key Set",
		`<html>`:                                 "no JSON Web Key Set",
		set(slices.Repeat([]string{"1"}, 33)...): "more than 32",
	} {
		if keys, _, err := parseKeySet([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || len(keys) > 0 {
			t.Errorf("%.60s: %d keys, %v", text, len(keys), err)
		}
	}
	keys, ignored, err := parseKeySet([]byte(set(slices.Repeat([]string{key}, 32)...)))
	if len(keys) != 32 || len(ignored) > 0 || err != nil {
		t.Errorf("%d keys, %q, %v", len(keys), ignored, err)
	}
}

func FuzzKeySet(f *testing.F) {
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	f.Add(set(jwk(f, edwards, member{"kid": "a"}), jwk(f, newECDSA(f, elliptic.P256()).Public(), member{"use": "enc"})))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`)
	f.Add(`{"keys":[{"kty":"oct","k":"AQAB"},7]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, ignored, err := parseKeySet([]byte(text))
		if err != nil && len(keys)+len(ignored) > 0 {
			t.Fatal("a set was refused and taken")
		}
		for _, k := range keys {
			if len(k.algorithms) == 0 || slices.ContainsFunc(k.algorithms, func(a string) bool { return strings.HasPrefix(a, "HS") || a == "none" }) {
				t.Fatalf("a key is for %q", k.algorithms)
			}
			if fmt.Sprintf("%T", k.public) == "[]uint8" {
				t.Fatal("a secret was taken for a public key")
			}
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	f.Add(`{"issuer":"https://login.example.com","jwks_uri":"https://login.example.com/jwks"}`)
	f.Fuzz(func(t *testing.T, text string) {
		issuer, keys, err := parseDiscovery([]byte(text))
		if (err == nil) != (issuer != "" && keys != "") {
			t.Fatalf("%q, %q, %v", issuer, keys, err)
		}
	})
}
