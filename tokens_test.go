package fanfare_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The log says why a token is refused. Its bearer is told what helps nobody else.
func TestRefusedTokensAreExplained(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	var log journal
	_, url := serveNode(t, issuer.forItsTokens(), &log)
	awaitStatus(t, url+"/readyz", http.StatusOK)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) string {
		text, _ := issuer.token(t, "alice", func(c jwt.MapClaims) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		})
		return text
	}
	good := with("x", 1)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	const concealed = "no valid token"
	user := 0
	for _, test := range []struct{ name, token, reason, detail, logged string }{
		{"good", good, "", "", ""},
		{"expired", with("exp", in(-time.Hour)), "expired", "no valid token: the token has expired", "the token expired 1h0m"},
		{"not yet valid", with("nbf", in(time.Hour)), "not_yet", "no valid token: the token is not valid yet", "auth.jwt.leeway is 1m0s"},
		{"another audience", with("aud", "account"), "audience", "no valid token: the token is for another audience", `auth.jwt.audience is \"push\"`},
		{"no audience", with("aud", nil), "audience", "no valid token: the token is for another audience", `auth.jwt.audience is \"push\"`},
		{"another issuer", with("iss", "https://other.example.com"), "issuer", "no valid token: the token is of another issuer", "https://other.example.com"},
		{"no end", with("exp", nil), "claims", "no valid token: the token has no exp", "the token has no exp"},
		{"no user", with("preferred_username", nil), "claims", "no valid token: the token has no claim preferred_username, which names the user", "preferred_username"},
		{"an unknown key", issuer.sign(t, stranger, "key-9", "alice", nil), "unknown_key", "no valid token: the key that signed the token is not known here", `kid is \"key-9\"`},
		{"a bad signature", issuer.sign(t, stranger, "key-0", "alice", nil), "signature", concealed, "not signed with"},
		{"another algorithm", signHMAC(t), "algorithm", concealed, `alg is \"HS256\"`},
		{"missing", "", "none", "no valid token: there is none", "there is none"},
		{"malformed", "secret-in-the-wrong-place", "malformed", "no valid token: the token is no JWT", "no JWT"},
		{"cut off", good[:len(good)-2], "signature", concealed, "not signed with"},
	} {
		for _, path := range []string{"/ws", "/sse"} {
			user++
			before := len(log.String())
			g := visit(t, url, path, test.token, user)
			g.leave()
			if test.reason == "" {
				if !g.isIn() {
					t.Errorf("%s %s: %d %s", path, test.name, g.status, g.detail)
				}
				continue
			}
			if g.status != http.StatusUnauthorized || !strings.HasPrefix(g.detail, test.detail) || test.detail == concealed && g.detail != concealed {
				t.Errorf("%s %s: %d %q", path, test.name, g.status, g.detail)
			}
			logged := log.String()[before:]
			if !strings.Contains(logged, "reason="+test.reason+" ") || !strings.Contains(logged, test.logged) || !strings.Contains(logged, "path="+path) {
				t.Errorf("%s %s: the log says %s", path, test.name, logged)
			}
		}
	}
	for _, secret := range []string{good, strings.Split(good, ".")[1], "secret-in-the-wrong-place"} {
		if strings.Contains(log.String(), secret) {
			t.Error("the log holds a token, or a part of one")
		}
	}
}

// signHMAC returns a token that is signed with a secret.
func signHMAC(t *testing.T) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": 9999999999})
	token.Header["kid"] = "key-0"
	text, err := token.SignedString([]byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
