package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// While keys are rotated both are accepted, each for the algorithms of its type.
func TestSeveralPublicKeysAreAccepted(t *testing.T) {
	first, _ := rsa.GenerateKey(rand.Reader, 2048)
	second, _ := rsa.GenerateKey(rand.Reader, 2048)
	third, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	stranger, _ := rsa.GenerateKey(rand.Reader, 2048)
	texts := []string{publicPEM(t, first.Public()), publicPEM(t, second.Public()), publicPEM(t, third.Public())}
	c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour)}
	for name, text := range map[string]string{
		"as they are":   strings.Join(texts, ""),
		"with comments": "# of 2024\n" + texts[0] + "\n  # of 2025,\n# and 2026\n\n" + texts[1] + "\n" + texts[2] + "\n# the end",
		"from Windows":  strings.ReplaceAll(strings.Join(texts, "\n"), "\n", "\r\n"),
	} {
		j := newJWT(t, auth.JWTConfig{PublicKey: text})
		for i, token := range []string{
			sign(t, jwt.SigningMethodRS256, first, c), sign(t, jwt.SigningMethodRS256, second, c), sign(t, jwt.SigningMethodES256, third, c),
		} {
			if _, err := j.Authenticate(t.Context(), token); err != nil {
				t.Errorf("%s: key %d: %v", name, i+1, err)
			}
		}
		_, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodRS256, stranger, c))
		if got := reasonOf(t, err); got != auth.ReasonSignature {
			t.Errorf("%s: a stranger's token: %v", name, err)
		}
		_, err = j.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte(text), c))
		if got := reasonOf(t, err); got != auth.ReasonAlgorithm {
			t.Errorf("%s: signed with the text as a secret: %v", name, err)
		}
	}
}

func TestKeyFilesWithAnythingElseInThemAreRefused(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	good := publicPEM(t, private.Public())
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secretKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	sealed := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	parameters := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: der}))
	damaged := strings.Replace(good, "MCow", "!!!!", 1)
	for name, test := range map[string]struct{ text, want string }{
		"a word behind":           {good + "junk", "key 2: want PEM"},
		"a word in front":         {"junk\n" + good, "want PEM"},
		"a word on the last line": {strings.TrimSpace(good) + " junk", "damaged"},
		"a private key":           {secretKey, "private key"},
		"a private key behind":    {good + secretKey, "key 2: it is a private key"},
		"a private key in front":  {secretKey + good, "key 1: it is a private key"},
		"a sealed private key":    {good + sealed, "private key"},
		"no certificate behind":   {good + certificate, "key 2: the certificate cannot be read"},
		"parameters behind":       {good + parameters, `key 2: it is of the type "EC PARAMETERS"`},
		"a damaged key in front":  {damaged + good, "key 1: the PEM text is damaged"},
		"a damaged key behind":    {good + damaged, "key 2: the PEM text is damaged"},
		"no end":                  {good + "-----BEGIN PUBLIC KEY-----\nMCow", "key 2: there is no"},
		"no end of the first":     {strings.Replace(good, "-----END PUBLIC KEY-----\n", "", 1) + good, "damaged"},
		"only comments":           {"# none\n", "want PEM"},
		"too many":                {strings.Repeat(good, 17), "at most 16"},
	} {
		_, err := auth.NewJWT(auth.JWTConfig{PublicKey: test.text})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want …%s…", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), strings.Split(secretKey, "\n")[1]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

// Keys come as they are kept elsewhere: in certificates, and in the older form of RSA.
func TestKeysInOtherFormsAreAccepted(t *testing.T) {
	first, _ := rsa.GenerateKey(rand.Reader, 2048)
	second, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	past := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, past, past, second.Public(), second)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	j := newJWT(t, auth.JWTConfig{
		PublicKey: block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&first.PublicKey)) + block("CERTIFICATE", certificate),
	})
	c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour)}
	for name, token := range map[string]string{
		"the older form": sign(t, jwt.SigningMethodPS256, first, c),
		"a certificate":  sign(t, jwt.SigningMethodES384, second, c),
	} {
		if _, err := j.Authenticate(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, err = auth.NewJWT(auth.JWTConfig{PublicKey: block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&weak.PublicKey))})
	if err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("a weak key: %v", err)
	}
}

// While a secret is replaced, tokens of both count, and the new one alone signs.
func TestThePreviousSecretIsAcceptedAndNeverSigns(t *testing.T) {
	const previous = "another secret of thirty-two bytes or more"
	j := newJWT(t, auth.JWTConfig{Secret: secret, PreviousSecret: previous})
	c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour)}
	for _, key := range []string{secret, previous} {
		for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS512} {
			if _, err := j.Authenticate(t.Context(), sign(t, method, []byte(key), c)); err != nil {
				t.Errorf("%s, %s: %v", key, method.Alg(), err)
			}
		}
	}
	_, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte(secret+previous), c))
	if got := reasonOf(t, err); got != auth.ReasonSignature {
		t.Errorf("a third secret: %v", err)
	}
	minted, err := j.Mint(domain.Grant{User: "alice", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newJWT(t, auth.JWTConfig{Secret: secret}).Authenticate(t.Context(), minted); err != nil {
		t.Errorf("a minted token is not the new secret's: %v", err)
	}
	for want, cfg := range map[string]auth.JWTConfig{
		"without a secret":                      {PreviousSecret: previous},
		"previous secret without a secret: set": {PreviousSecret: previous, PublicKey: "x"},
		"the previous secret has 5 bytes":       {Secret: secret, PreviousSecret: "short"},
		"the previous secret is a key in PEM":   {Secret: secret, PreviousSecret: "-----BEGIN PUBLIC KEY-----" + previous},
	} {
		if _, err := auth.NewJWT(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want …%s…", err, want)
		}
	}
}

func FuzzPublicKeys(f *testing.F) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	good := publicPEM(f, private.Public())
	f.Add(good + good)
	f.Add("# x\n" + good + "x")
	f.Add("-----BEGIN -----END ")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := auth.NewJWT(auth.JWTConfig{PublicKey: text})
		if blocks := strings.Count(text, "PUBLIC KEY-----") + strings.Count(text, "-----BEGIN CERTIFICATE-----"); err == nil && (blocks == 0 || strings.Contains(text, "PRIVATE")) {
			if !strings.Contains(text, "#") {
				t.Fatalf("%q was taken", text)
			}
		}
	})
}
