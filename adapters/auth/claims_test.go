package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// signText makes a token of any header and payload, signed well.
func signText(t testing.TB, header, payload string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(payload))
	sig, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(sig)
}

const hs256 = `{"alg":"HS256"}`

// reasonOf is the reason of a CredentialError, "" for nil.
func reasonOf(t testing.TB, err error) string {
	t.Helper()
	var c *domain.CredentialError
	if err != nil && !errors.As(err, &c) {
		t.Fatalf("%v is no CredentialError", err)
	}
	if c == nil {
		return ""
	}
	return c.Reason
}

// A token that two readers could understand in two ways is refused.
func TestClaimsAreReadByOneStrictParser(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	const exp = `"exp":9999999999`
	for payload, want := range map[string]string{
		`{"sub":"alice",` + exp + `}`:                                      "",
		`{"sub":"alice",` + exp + `,"Sub":"admin","SUB":"admin"}`:          "", // other names, which mean nothing
		` {"sub" : "al\u0069ce" ,` + exp + ` } `:                           "",
		`{"sub":"alice",` + exp + `,"systems":"*","rooms":null,"send":[]}`: "",
		`{"sub":"alice",` + exp + `,"custom":{"a":1,"a":2}}`:               "",
		`{"sub":"alice",` + exp + `,"sub":"admin"}`:                        auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"\u0073ub":"admin"}`:                   auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"exp":1}`:                              auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"custom":1,"custom":1}`:                auth.ReasonClaims,
		`{"Sub":"alice",` + exp + `}`:                                      auth.ReasonClaims,
		`{"sub":"alice","Exp":9999999999}`:                                 auth.ReasonClaims,
		`{"sub":"\ud83d",` + exp + `}`:                                     auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"systems":["\ud83d"]}`:                 auth.ReasonClaims,
		"{\"sub\":\"al\xffice\"," + exp + "}":                              auth.ReasonClaims,
		`{"sub":7,` + exp + `}`:                                            auth.ReasonClaims,
		`{"sub":null,` + exp + `}`:                                         auth.ReasonClaims,
		`{"sub":["alice"],` + exp + `}`:                                    auth.ReasonClaims,
		`{"sub":"alice","exp":"9999999999"}`:                               auth.ReasonClaims,
		`{"sub":"alice","exp":null}`:                                       auth.ReasonClaims,
		`{"sub":"alice","exp":NaN}`:                                        auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"nbf":"1"}`:                            auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"nbf":null}`:                           auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"iat":true}`:                           auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"iss":1}`:                              auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"aud":[1]}`:                            auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"jti":1}`:                              auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"systems":[["orders"]]}`:               auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"systems":{"orders":true}}`:            auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"rooms":[null]}`:                       auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"send":7}`:                             auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"presence":"chat/*"}`:                  "",
		`{"sub":"alice",` + exp + `,"presence":{"chat":1}}`:                auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"iat":1700000000000}`:                  auth.ReasonClaims,
		`{"sub":"alice",` + exp + `}{"sub":"admin",` + exp + `}`:           auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,}`:                                     auth.ReasonClaims,
		"\ufeff" + `{"sub":"alice",` + exp + `}`:                           auth.ReasonClaims,
		`[{"sub":"alice",` + exp + `}]`:                                    auth.ReasonClaims,
		`"alice"`:                                                          auth.ReasonClaims,
		``:                                                                 auth.ReasonClaims,
		`{"sub":"alice",` + exp + `,"x":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`: auth.ReasonClaims,
	} {
		g, err := j.Authenticate(t.Context(), signText(t, hs256, payload))
		if got := reasonOf(t, err); got != want || err == nil && g.User != "alice" {
			t.Errorf("%s: %+v, %v; want reason %q", payload, g, err, want)
		}
	}
}

// Every number that becomes a time is bounded, and exact within the bounds.
func TestTimesInTokensAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the year 2000
		j := newJWT(t, auth.JWTConfig{Secret: secret, Leeway: time.Minute})
		now := time.Now().Unix()
		at := func(after int64) string { return fmt.Sprint(now + after) }
		for _, test := range []struct{ claims, reason string }{
			{`"exp":9999999999`, ""},
			{`"exp":9223372036`, ""},   // the last second that nanoseconds since 1970 can say
			{`"exp":9223372037`, ""},   // and the next one
			{`"exp":18446744074`, ""},  // where they have gone round
			{`"exp":253402300799`, ""}, // the last second of the year 9999
			{`"exp":253402300799.999`, ""},
			{`"exp":2534023007990e-1`, ""},
			{`"exp":253402300800`, auth.ReasonClaims},
			{`"exp":` + at(3600) + `000`, auth.ReasonClaims}, // milliseconds
			{`"exp":1e300`, auth.ReasonClaims},
			{`"exp":1e400`, auth.ReasonClaims},
			{`"exp":1e99999999999999999999`, auth.ReasonClaims},
			{`"exp":-1`, auth.ReasonClaims},
			{`"exp":-1e300`, auth.ReasonClaims},
			{`"exp":0`, auth.ReasonExpired},
			{`"exp":-0`, auth.ReasonExpired},
			{`"exp":1e-400`, auth.ReasonExpired},
			{`"exp":` + at(0), auth.ReasonExpired}, // no leeway for the end
			{`"exp":` + at(-30), auth.ReasonExpired},
			{`"exp":` + at(0) + `.5`, ""},
			{`"exp":` + at(1), ""},
			{`"exp":9999999999,"nbf":` + at(2), ""},
			{`"exp":9999999999,"nbf":` + at(60), ""},
			{`"exp":9999999999,"nbf":` + at(60) + `.5`, auth.ReasonNotYet},
			{`"exp":9999999999,"nbf":` + at(61), auth.ReasonNotYet},
			{`"exp":9999999999,"nbf":253402300799`, auth.ReasonNotYet},
			{`"exp":9999999999,"nbf":1e300`, auth.ReasonClaims},
			{`"exp":9999999999,"nbf":-1`, auth.ReasonClaims},
			{`"exp":9999999999,"nbf":0`, ""},
			{`"exp":9999999999,"iat":` + at(3600), ""}, // says nothing about validity
			{`"exp":9999999999,"iat":1e300`, auth.ReasonClaims},
			{`"exp":9999999999,"iat":-1e9`, auth.ReasonClaims},
		} {
			g, err := j.Authenticate(t.Context(), signText(t, hs256, `{"sub":"alice",`+test.claims+`}`))
			if got := reasonOf(t, err); got != test.reason {
				t.Errorf("%s: %v, want reason %q", test.claims, err, test.reason)
			}
			if err == nil && (!g.Expires.After(time.Now()) || g.Expires.Year() > 9999) {
				t.Errorf("%s: ends %v", test.claims, g.Expires)
			}
		}
	})
}

// RFC 7519 §4.1.3: a token is only for those whom its audience names.
func TestAudience(t *testing.T) {
	for _, test := range []struct {
		aud, configured, reason string
	}{
		{``, "", ""},
		{``, "push", auth.ReasonAudience},
		{`,"aud":"push"`, "push", ""},
		{`,"aud":["other","push"]`, "push", ""},
		{`,"aud":"other"`, "push", auth.ReasonAudience},
		{`,"aud":"Push"`, "push", auth.ReasonAudience},
		{`,"aud":"push"`, "", auth.ReasonAudience},
		{`,"aud":["push"]`, "", auth.ReasonAudience},
		{`,"aud":[]`, "", auth.ReasonAudience},
		{`,"aud":""`, "", auth.ReasonAudience},
		{`,"aud":[]`, "push", auth.ReasonAudience},
		{``, auth.AnyAudience, ""},
		{`,"aud":"push"`, auth.AnyAudience, ""},
		{`,"aud":["account","other"]`, auth.AnyAudience, ""},
		{`,"aud":7`, auth.AnyAudience, auth.ReasonClaims},
	} {
		j := newJWT(t, auth.JWTConfig{Secret: secret, Audience: test.configured})
		_, err := j.Authenticate(t.Context(), signText(t, hs256, `{"sub":"alice","exp":9999999999`+test.aud+`}`))
		if got := reasonOf(t, err); got != test.reason {
			t.Errorf("%s for %q: %v", test.aud, test.configured, err)
		}
		if err != nil && test.configured == "" && !strings.Contains(err.Error(), "auth.jwt.audience") {
			t.Errorf("%s: it is not said which setting helps: %v", test.aud, err)
		}
	}
}

// What clients are told helps the holder of a signed token, and nobody who guesses.
func TestWhatClientsAreTold(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret, Issuer: "the-shop", Audience: "the-push"})
	const rest = `,"iss":"the-shop","aud":"the-push"`
	for _, test := range []struct{ header, payload, told string }{
		{hs256, `{"sub":"alice","exp":1` + rest + `}`, "the token has expired"},
		{hs256, `{"sub":"alice","exp":9999999999,"nbf":9999999990` + rest + `}`, "the token is not valid yet"},
		{hs256, `{"sub":"alice"` + rest + `}`, "the token has no exp"},
		{hs256, `{"sub":7,"exp":9999999999` + rest + `}`, "the token's sub: want a string"},
		{hs256, `{"exp":9999999999` + rest + `}`, "the token has no claim sub"},
		{hs256, `{"sub":"alice","exp":9999999999,"iss":"other"}`, "the token is of another issuer"},
		{hs256, `{"sub":"alice","exp":9999999999,"iss":"the-shop","aud":"other"}`, "the token is for another audience"},
		{`{"alg":"none"}`, `{"sub":"alice","exp":1}`, ""},
		{`{"alg":"HS512"}`, `{"sub":"alice","exp":1}`, ""}, // not that it has expired: nobody signed that
	} {
		_, err := j.Authenticate(t.Context(), signText(t, test.header, test.payload))
		var c *domain.CredentialError
		if !errors.As(err, &c) || !strings.HasPrefix(c.Told, test.told) || (c.Told == "") != (test.told == "") {
			t.Errorf("%s: %v; told %q, want %q", test.payload, err, c.Told, test.told)
		}
		if strings.Contains(c.Told, "the-shop") || strings.Contains(c.Told, "the-push") {
			t.Errorf("%s: clients are told a setting: %q", test.payload, c.Told)
		}
		if c.Detail == "" || c.Reason == "" {
			t.Errorf("%s: the operator learns nothing: %+v", test.payload, c)
		}
	}
}

// What is granted is exactly what the payload's claims say, each of them once.
func TestDecisionsAgreeWithThePayload(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	names := []string{"sub", "Sub", "SUB", "s\u017fb", "exp", "Exp", "nbf", "iat", "jti", "systems", "Systems", "rooms", "send", "presence",
		"aud", "iss", "x"}
	values := []string{`"alice"`, `"admin"`, `""`, `"\ud83d"`, `9999999999`, `9999999999.5`, `1`, `1e300`, `-1`, `null`, `true`,
		`["orders"]`, `["*","chat"]`, `[]`, `[1]`, `{}`, `"orders"`}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		fields := []string{`"sub":"alice"`, `"exp":9999999999`}[rapid.IntRange(0, 2).Draw(t, "skip"):]
		for range rapid.IntRange(0, 4).Draw(t, "more") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			fields = append(fields, fmt.Sprintf(`"%s":%s`, name, rapid.SampledFrom(values).Draw(t, "value")))
		}
		payload := "{" + strings.Join(rapid.Permutation(fields).Draw(t, "order"), ",") + "}"
		g, err := j.Authenticate(t.Context(), signRawTB(payload))
		if err != nil {
			if !errors.Is(err, domain.ErrUnauthenticated) {
				t.Fatal(err)
			}
			return
		}
		accepted++
		agrees(t, payload, g)
	})
	if accepted == 0 {
		t.Error("no payload was accepted: nothing was compared")
	}
}

func signRawTB(payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(hs256)) + "." + enc([]byte(payload))
	sig, _ := jwt.SigningMethodHS256.Sign(text, []byte(secret)) // a secret signs anything
	return text + "." + enc(sig)
}

// agrees compares a grant with the payload, read by another reader that knows
// each name with its case and counts how often it stands there.
func agrees(t interface{ Fatalf(string, ...any) }, payload string, g domain.Grant) {
	exact := make(map[string]json.RawMessage)
	d := json.NewDecoder(strings.NewReader(payload))
	_, _ = d.Token()
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			t.Fatalf("%s was accepted", payload)
		}
		if _, again := exact[name.(string)]; again {
			t.Fatalf("%s was accepted with %s twice", payload, name)
		}
		exact[name.(string)] = value
	}
	var sub string
	if json.Unmarshal(exact["sub"], &sub) != nil || sub != g.User {
		t.Fatalf("%s: the user is %q", payload, g.User)
	}
	exp, ok := new(big.Rat).SetString(string(exact["exp"]))
	if seconds := new(big.Rat).SetFrac64(g.Expires.UnixMilli(), 1000); !ok || seconds.Sub(seconds, exp).Abs(seconds).Cmp(big.NewRat(1, 500)) > 0 {
		t.Fatalf("%s: ends at %v", payload, g.Expires)
	}
	if exact["aud"] != nil {
		t.Fatalf("%s: an audience was passed over", payload)
	}
	var token string
	if exact["jti"] != nil && json.Unmarshal(exact["jti"], &token) != nil || token != g.Token {
		t.Fatalf("%s: the jti is %q", payload, g.Token)
	}
	if exact["iat"] == nil && !g.Issued.IsZero() {
		t.Fatalf("%s: issued at %v", payload, g.Issued)
	}
	for name, got := range map[string][]string{
		"systems": g.Systems, "rooms": g.Rooms, "send": g.Send, "presence": g.Presence,
	} {
		var want []string
		if json.Unmarshal(exact[name], &want) != nil && exact[name] != nil {
			var one string
			if json.Unmarshal(exact[name], &one) != nil {
				t.Fatalf("%s: %s is %q", payload, name, got)
			}
			want = []string{one}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %s is %q", payload, name, got)
		}
	}
}

// Authenticate accepts what Mint returns, and grants what Mint was given.
func TestAuthenticateGrantsWhatMintWasGiven(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret, Issuer: "é\u2028\"", Audience: "<&>"})
	globs := rapid.SliceOfN(rapid.String(), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		want := domain.Grant{
			User: rapid.StringN(0, 20, 300).Draw(t, "user"), Systems: globs.Draw(t, "systems"),
			Rooms: globs.Draw(t, "rooms"), Send: globs.Draw(t, "send"),
			Presence: globs.Draw(t, "presence"), Token: rapid.String().Draw(t, "jti"),
			Expires: time.Unix(rapid.Int64Range(-1, 300_000_000_000).Draw(t, "expires"), 0),
		}
		token, err := j.Mint(want)
		if err != nil {
			return
		}
		got, err := j.Authenticate(t.Context(), token)
		if want.Expires.Before(time.Now()) {
			if err == nil {
				t.Fatal("an expired token was taken")
			}
			return
		}
		if err != nil || got.User != want.User || !slices.Equal(got.Systems, want.Systems) || !slices.Equal(got.Rooms, want.Rooms) ||
			!slices.Equal(got.Send, want.Send) || !got.Expires.Equal(want.Expires) ||
			!slices.Equal(got.Presence, want.Presence) || got.Token != want.Token || time.Since(got.Issued) > time.Minute {
			t.Fatalf("minted %+v, got %+v, %v", want, got, err)
		}
	})
}
