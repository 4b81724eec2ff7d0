package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

const secret = "a secret of at least thirty-two bytes"

func newJWT(t testing.TB, cfg auth.JWTConfig) *auth.JWT {
	t.Helper()
	j, err := auth.NewJWT(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func sign(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func TestMintedTokenGrantsWhatWasMinted(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret, Issuer: "shop", Audience: "push"})
	want := domain.Grant{
		User: "alice", Systems: []string{"orders", "chat"}, Rooms: []string{"chat/*"}, Send: []string{"chat/room:*"},
		Presence: []string{"chat/"}, Token: "t1",
		Expires: time.Now().Add(time.Hour).Truncate(time.Second),
	}
	token, err := j.Mint(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Authenticate(t.Context(), token)
	if err != nil || time.Since(got.Issued) > time.Minute {
		t.Fatalf("issued at %v: %v", got.Issued, err)
	}
	want.Issued = got.Issued // Mint says when
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokenWithoutClaimsGrantsNothing(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	g, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "alice", "exp": in(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	orders, _ := domain.ParseSystem("orders")
	if g.MayAttach(orders) {
		t.Error("a token that names no system may attach to one")
	}
}

func TestEveryHMACSizeIsAccepted(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		if _, err := j.Authenticate(t.Context(), sign(t, m, []byte(secret), jwt.MapClaims{"sub": "a", "exp": in(time.Hour)})); err != nil {
			t.Errorf("%s: %v", m.Alg(), err)
		}
	}
}

func TestTokenIsRefused(t *testing.T) {
	good := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "iss": "shop", "aud": []string{"push", "other"}}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	hs := func(change jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), good(change))
	}
	critical := jwt.NewWithClaims(jwt.SigningMethodHS256, good(nil))
	critical.Header["crit"] = []string{"b64"}
	withCrit, _ := critical.SignedString([]byte(secret))
	j := newJWT(t, auth.JWTConfig{Secret: secret, Issuer: "shop", Audience: "push"})
	if _, err := j.Authenticate(t.Context(), hs(nil)); err != nil {
		t.Fatalf("the good token: %v", err)
	}

	for name, token := range map[string]string{
		"empty":           "",
		"no token":        "abc",
		"too long":        strings.Repeat("x", auth.MaxToken+1),
		"expired":         hs(jwt.MapClaims{"exp": in(-time.Second)}),
		"never expires":   hs(jwt.MapClaims{"exp": nil}),
		"absurd expiry":   hs(jwt.MapClaims{"exp": 1e300}),
		"not yet":         hs(jwt.MapClaims{"nbf": in(time.Hour)}),
		"no user":         hs(jwt.MapClaims{"sub": nil}),
		"bad user":        hs(jwt.MapClaims{"sub": "a\nb"}),
		"no issuer":       hs(jwt.MapClaims{"iss": nil}),
		"wrong issuer":    hs(jwt.MapClaims{"iss": "evil"}),
		"no audience":     hs(jwt.MapClaims{"aud": nil}),
		"wrong audience":  hs(jwt.MapClaims{"aud": "evil"}),
		"wrong type":      hs(jwt.MapClaims{"systems": 7}),
		"another secret":  sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("k", 32)), good(nil)),
		"unsigned":        sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(nil)),
		"signature gone":  hs(nil)[:strings.LastIndex(hs(nil), ".")+1],
		"critical header": withCrit,
	} {
		t.Run(name, func(t *testing.T) {
			g, err := j.Authenticate(t.Context(), token)
			if !errors.Is(err, domain.ErrUnauthenticated) {
				t.Fatalf("got %+v, %v; want ErrUnauthenticated", g, err)
			}
			for _, part := range strings.Split(token, ".") {
				if len(part) > 3 && strings.Contains(err.Error(), part) {
					t.Errorf("the error quotes the token: %v", err)
				}
			}
		})
	}
}

func TestTokensAreReadUpToTheirLimit(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	signed := func(size int) string {
		for pad := auth.MaxToken / 2; ; pad++ {
			c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "x": strings.Repeat("x", pad)}
			if token := sign(t, jwt.SigningMethodHS256, []byte(secret), c); len(token) >= size {
				return token
			}
		}
	}
	longest := signed(auth.MaxToken - 1)
	if len(longest) > auth.MaxToken {
		t.Fatalf("got %d bytes", len(longest))
	}
	if _, err := j.Authenticate(t.Context(), longest); err != nil {
		t.Errorf("%d bytes: %v", len(longest), err)
	}
	if _, err := j.Authenticate(t.Context(), signed(auth.MaxToken+1)); reasonOf(t, err) != auth.ReasonMalformed {
		t.Errorf("longer than MaxToken: %v", err)
	}
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestPublicKeysFixTheAlgorithm(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	c := jwt.MapClaims{"sub": "alice", "exp": in(time.Hour)}
	for _, key := range []struct {
		name    string
		private crypto.Signer
		good    []jwt.SigningMethod
	}{
		{"RSA", rsaKey, []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS512}},
		{"ECDSA", ecKey, []jwt.SigningMethod{jwt.SigningMethodES256}},
		{"Ed25519", edKey, []jwt.SigningMethod{jwt.SigningMethodEdDSA}},
	} {
		t.Run(key.name, func(t *testing.T) {
			text := publicPEM(t, key.private.Public())
			j := newJWT(t, auth.JWTConfig{PublicKey: text})
			for _, m := range key.good {
				if _, err := j.Authenticate(t.Context(), sign(t, m, key.private, c)); err != nil {
					t.Errorf("%s: %v", m.Alg(), err)
				}
			}
			// The classic confusion: the public key used as an HMAC secret.
			if _, err := j.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte(text), c)); err == nil {
				t.Error("HS256 with the public key as its secret was believed")
			}
			if _, err := j.Mint(domain.Grant{User: "a", Expires: time.Now()}); err == nil {
				t.Error("a public key signed a token")
			}
		})
	}
}

func TestKeysThatAreTooWeakOrNoneAreRefused(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	strong, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	odd, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	for name, cfg := range map[string]auth.JWTConfig{
		"nothing":                  {},
		"both":                     {Secret: secret, PublicKey: "x"},
		"short secret":             {Secret: secret[:auth.MinSecret-1]},
		"no PEM":                   {PublicKey: "hello"},
		"a public key as a secret": {Secret: publicPEM(t, strong.Public())},
		"the same, indented":       {Secret: "  \n" + publicPEM(t, strong.Public())},
		"long leeway":              {Secret: secret, Leeway: auth.MaxLeeway + 1},
		"no leeway":                {Secret: secret, Leeway: -1},
		"bad PEM":                  {PublicKey: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"},
		"1024 bit RSA":             {PublicKey: publicPEM(t, weak.Public())},
		"P-224":                    {PublicKey: publicPEM(t, odd.Public())},
	} {
		if _, err := auth.NewJWT(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		} else if cfg.Secret != "" && strings.Contains(err.Error(), cfg.Secret) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func TestMintRefusesWhatAuthenticateWould(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	for name, g := range map[string]domain.Grant{
		"no user":     {Expires: time.Now().Add(time.Hour)},
		"no expiry":   {User: "alice"},
		"not UTF-8":   {User: "alice", Expires: time.Now().Add(time.Hour), Rooms: []string{"chat/\xff"}},
		"year 10000":  {User: "alice", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"before 1970": {User: "alice", Expires: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		"too large":   {User: "alice", Expires: time.Now().Add(time.Hour), Rooms: []string{strings.Repeat("r", auth.MaxToken)}},
	} {
		if _, err := j.Mint(g); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	j := newJWT(f, auth.JWTConfig{Secret: secret})
	good, _ := j.Mint(domain.Grant{User: "alice", Systems: []string{"*"}, Expires: time.Now().Add(time.Hour)})
	f.Add(good, "")
	f.Add("a.b.c", `{"sub":"a","exp":99999999999,"systems":"x"}`)
	f.Add("", `{"sub":"a","exp":1e308}`)
	f.Add("", `{"sub":"a","exp":"1","nbf":-1e308,"aud":[1]}`)
	f.Add("", `{"sub":"a","exp":9999999999,"Sub":"b","\u0073ystems":["*"]}`)
	f.Add("", `{"sub":"a","exp":9999999999.5,"sub":"b"}`)
	f.Fuzz(func(t *testing.T, token, payload string) {
		// The token as it is, and a well-signed one with hostile claims.
		for _, text := range []string{token, signRawTB(payload)} {
			g, err := j.Authenticate(context.Background(), text)
			if err != nil && !errors.Is(err, domain.ErrUnauthenticated) {
				t.Fatalf("%v is no ErrUnauthenticated", err)
			}
			if err == nil && (domain.CheckUser(g.User) != nil || !g.Expires.After(time.Now())) {
				t.Fatalf("grants to %+v", g)
			}
			if err == nil && text != token {
				agrees(t, payload, g)
			}
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	j := newJWT(b, auth.JWTConfig{Secret: secret})
	token, err := j.Mint(domain.Grant{
		User: "alice", Systems: []string{"orders", "chat"}, Rooms: []string{"chat/*"}, Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Authenticate(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}
