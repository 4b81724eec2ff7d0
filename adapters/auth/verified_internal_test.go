package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
)

// newES256 returns a JWT that takes tokens of the returned key.
func newES256(t testing.TB, cache int) (*JWT, *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewJWT(JWTConfig{
		PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), Cache: cache,
	})
	if err != nil {
		t.Fatal(err)
	}
	return j, private
}

func signES256(t testing.TB, key *ecdsa.PrivateKey, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func reason(err error) string {
	var c *domain.CredentialError
	if errors.As(err, &c) {
		return c.Reason
	}
	return fmt.Sprint(err)
}

func TestAVerifiedTokenIsNotVerifiedAgain(t *testing.T) {
	j, key := newES256(t, 0)
	token := signES256(t, key, jwt.MapClaims{
		"sub": "alice", "exp": 9999999999, "systems": []string{"orders"}, "rooms": []string{"orders/*"},
		"jti": "t1", "iat": 1_700_000_000, "presence": []string{"orders/"},
	})
	first, err := j.Authenticate(t.Context(), token)
	if err != nil || first.Token != "t1" || first.Issued.Unix() != 1_700_000_000 || len(first.Presence) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	keys := j.keys.Load()
	j.keys.Store(&keySet{}) // nothing can be verified any more
	again, err := j.Authenticate(t.Context(), token)
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	// A token of a key that was removed is forgotten.
	keys.keys[0].removed.Store(true)
	if _, err := j.Authenticate(t.Context(), token); reason(err) != ReasonAlgorithm {
		t.Errorf("after a change of the keys: %v", err)
	}
}

func TestNoOtherTokenPassesForAVerifiedOne(t *testing.T) {
	j, key := newES256(t, 0)
	token := signES256(t, key, jwt.MapClaims{"sub": "alice", "exp": 9999999999})
	if _, err := j.Authenticate(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	for i := range token {
		other := []byte(token)
		other[i] ^= 1
		if g, err := j.Authenticate(t.Context(), string(other)); err == nil {
			t.Errorf("byte %d: %+v", i, g)
		}
	}
	for _, other := range []string{token + "A", token[:len(token)-1], " " + token, token + "."} {
		if g, err := j.Authenticate(t.Context(), other); err == nil {
			t.Errorf("%q: %+v", other, g)
		}
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	j, key := newES256(t, 0)
	_, another := newES256(t, 0)
	for name, token := range map[string]string{
		"another key": signES256(t, another, jwt.MapClaims{"sub": "alice", "exp": 9999999999}),
		"no user":     signES256(t, key, jwt.MapClaims{"exp": 9999999999}),
		"expired":     signES256(t, key, jwt.MapClaims{"sub": "alice", "exp": 1}),
		"audience":    signES256(t, key, jwt.MapClaims{"sub": "alice", "exp": 9999999999, "aud": "others"}),
	} {
		for range 2 {
			if _, err := j.Authenticate(t.Context(), token); !errors.Is(err, domain.ErrUnauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := len(j.verified.young) + len(j.verified.old); n > 0 {
		t.Errorf("%d tokens are remembered", n)
	}
}

func TestTimeIsCheckedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, key := newES256(t, 0)
		j.cfg.Leeway = time.Second
		in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		token := signES256(t, key, jwt.MapClaims{"sub": "alice", "nbf": in(time.Minute), "exp": in(time.Hour)})
		for _, step := range []struct {
			sleep      time.Duration
			reason     string
			remembered int
		}{
			{0, ReasonNotYet, 0},
			{time.Minute, "<nil>", 1},
			{time.Minute, "<nil>", 1},
			{time.Hour, ReasonExpired, 0},
			{0, ReasonExpired, 0},
		} {
			time.Sleep(step.sleep)
			_, err := j.Authenticate(t.Context(), token)
			if reason(err) != step.reason || len(j.verified.young) != step.remembered {
				t.Errorf("%+v: %v, %d remembered", step, err, len(j.verified.young))
			}
		}
		// A clock that was set back makes a remembered token too young again.
		token = signES256(t, key, jwt.MapClaims{"sub": "alice", "nbf": in(0), "exp": in(time.Hour)})
		if _, err := j.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		j.now = func() time.Time { return time.Now().Add(-time.Minute) }
		if _, err := j.Authenticate(t.Context(), token); reason(err) != ReasonNotYet {
			t.Errorf("a clock that was set back: %v", err)
		}
	})
}

func TestMemoryOfVerifiedTokensIsBounded(t *testing.T) {
	const limit = 100_000
	v := newVerified(limit)
	often := v.id([]byte("often"))
	v.add(often, &claims{subject: "often", key: &key{}})
	kept := 0
	for i := range 10_000 {
		id := v.id(fmt.Append(nil, i))
		v.add(id, &claims{subject: strings.Repeat("x", i%256), rooms: []string{strings.Repeat("r", i%1000)}, key: &key{}})
		if v.find(id) != nil {
			kept++
		}
		if v.find(often) == nil {
			t.Fatalf("after %d others, the token that comes back often is forgotten", i)
		}
		size := 0
		for _, generation := range []map[tokenID]*claims{v.young, v.old} {
			for _, c := range generation {
				size += c.size()
			}
		}
		if size > limit {
			t.Fatalf("%d bytes", size)
		}
	}
	if kept < 10_000 {
		t.Errorf("%d tokens were not even remembered as the newest", 10_000-kept)
	}
	v.add(v.id([]byte("huge")), &claims{subject: strings.Repeat("x", limit)})
	if v.find(v.id([]byte("huge"))) != nil || v.find(often) == nil {
		t.Error("one token takes the place of all others")
	}
}

func TestTokensAreRememberedConcurrently(t *testing.T) {
	j, key := newES256(t, 2000) // so that few are, and generations change
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, signES256(t, key, jwt.MapClaims{"sub": fmt.Sprint("u", i), "exp": 9999999999}))
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 40 {
				k := (i + n) % len(tokens)
				g, err := j.Authenticate(t.Context(), tokens[k])
				if err != nil || g.User != fmt.Sprint("u", k) {
					t.Errorf("token %d: %+v, %v", k, g, err)
				}
			}
		})
	}
	all.Wait()
}

func TestTokensWithASecretAreNotRemembered(t *testing.T) {
	j, err := NewJWT(JWTConfig{Secret: strings.Repeat("s", MinSecret)})
	if err != nil || j.verified != nil {
		t.Errorf("%v, %v", j.verified, err)
	}
}

func BenchmarkAuthenticateES256(b *testing.B) {
	j, key := newES256(b, 0)
	token := signES256(b, key, jwt.MapClaims{
		"sub": "alice", "exp": 9999999999, "systems": []string{"orders", "chat"}, "rooms": []string{"chat/*"},
	})
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !known {
					j.verified = newVerified(DefaultCache)
				}
				if _, err := j.Authenticate(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
