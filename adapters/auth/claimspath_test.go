package auth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// keycloak is a payload as Keycloak writes access tokens, shortened.
const keycloak = `{"exp":9999999999,"iat":1700000000,"jti":"t1","iss":"https://login.example.com/realms/shop",
	"aud":["push","account"],"sub":"f:1","typ":"Bearer","azp":"web","preferred_username":"alice","user_id":42,
	"realm_access":{"roles":["offline_access","push:orders"]},
	"resource_access":{"push":{"systems":["orders","chat"],"rooms":["chat/*"]},"push.v2":{"systems":["new"]}},
	"scope":"openid profile push:orders push:chat/room:*","https://example.com/rooms":["orders/1"],
	"a.b":["literal"],"a":{"b":["nested"]},"empty":[],"none":null,"text":"just","list":[1]}`

func TestClaimsCanBeElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		claims auth.Claims
		want   domain.Grant
	}{
		"nested":                  {auth.Claims{Systems: "resource_access.push.systems", Rooms: "resource_access.push.rooms"}, domain.Grant{User: "f:1", Systems: []string{"orders", "chat"}, Rooms: []string{"chat/*"}}},
		"a name with a dot":       {auth.Claims{Systems: "resource_access.push.v2.systems"}, domain.Grant{User: "f:1", Systems: []string{"new"}}},
		"a literal with dots":     {auth.Claims{Rooms: "https://example.com/rooms"}, domain.Grant{User: "f:1", Rooms: []string{"orders/1"}}},
		"the literal comes first": {auth.Claims{Rooms: "a.b"}, domain.Grant{User: "f:1", Rooms: []string{"literal"}}},
		"words":                   {auth.Claims{Systems: "scope"}, domain.Grant{User: "f:1", Systems: []string{"openid", "profile", "push:orders", "push:chat/room:*"}}},
		"words with a prefix":     {auth.Claims{Systems: "scope", Send: "scope", Prefix: "push:"}, domain.Grant{User: "f:1", Systems: []string{"orders", "chat/room:*"}, Send: []string{"orders", "chat/room:*"}}},
		"roles with a prefix":     {auth.Claims{Systems: "realm_access.roles", Prefix: "push:"}, domain.Grant{User: "f:1", Systems: []string{"orders"}}},
		"one word":                {auth.Claims{Systems: "text"}, domain.Grant{User: "f:1", Systems: []string{"just"}}},
		"another user":            {auth.Claims{User: "preferred_username"}, domain.Grant{User: "alice"}},
		"a numbered user":         {auth.Claims{User: "user_id"}, domain.Grant{User: "42"}},
		"empty":                   {auth.Claims{Presence: "empty"}, domain.Grant{User: "f:1"}},
		"null":                    {auth.Claims{Presence: "none"}, domain.Grant{User: "f:1"}},
		"nowhere":                 {auth.Claims{Presence: "nowhere.at.all", Rooms: "resource_access.push.no", Send: "a.c"}, domain.Grant{User: "f:1"}},
	} {
		j := newJWT(t, auth.JWTConfig{Secret: secret, Audience: auth.AnyAudience, Claims: test.claims})
		got, err := j.Authenticate(t.Context(), signText(t, hs256, keycloak))
		if err != nil || got.Token != "t1" || got.Issued.Unix() != 1_700_000_000 || got.Expires.Unix() != 9_999_999_999 {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		test.want.Expires, test.want.Issued, test.want.Token = got.Expires, got.Issued, got.Token
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Only the claims that are looked at are judged, and these strictly.
func TestClaimsElsewhereAreReadStrictly(t *testing.T) {
	const rest = `{"exp":9999999999,"sub":"alice",`
	claims := auth.Claims{Systems: "x.systems"}
	for payload, want := range map[string]string{
		rest + `"x":{"systems":["orders"]}}`:                       "",
		rest + `"x":{"systems":["orders"],"other":{"a":1,"a":2}}}`: "",
		rest + `"x":{}}`: "",
		rest + `"y":1}`:  "",
		rest + `"x":{"systems":"orders chat"},"systems":["admin"],"rooms":["a/b"]}`: "",
		rest + `"x":{"systems":["orders"],"systems":["chat"]}}`:                     "the token's x.systems: want objects",
		rest + `"x":{"other":1,"other":2,"systems":["chat"]}}`:                      "the token's x.systems: want objects",
		rest + `"x":7}`:                           "the token's x.systems: want objects",
		rest + `"x":["systems"]}`:                 "the token's x.systems: want objects",
		rest + `"x":{"systems":7}}`:               "the token's x.systems: want an array of strings, or a string of words",
		rest + `"x":{"systems":[7]}}`:             "the token's x.systems: want an array of strings, or a string of words",
		rest + `"x":{"systems":{"orders":true}}}`: "the token's x.systems: want an array of strings, or a string of words",
		rest + `"x":{"systems":["\ud83d"]}}`:      "the token's x.systems: want an array of strings, or a string of words",
		rest + `"x":{},"x":{}}`:                   "the token's payload is no JSON object",
		rest + `"rooms":7}`:                       "the token's rooms: want an array of globs",
		rest + `"exp":1}`:                         "the token's payload is no JSON object",
		`{"exp":9999999999,"sub":7}`:              "the token's sub: want a string",
		`{"exp":9999999999}`:                      "the token has no claim sub, which names the user",
	} {
		j := newJWT(t, auth.JWTConfig{Secret: secret, Claims: claims})
		g, err := j.Authenticate(t.Context(), signText(t, hs256, payload))
		var c *domain.CredentialError
		switch {
		case want == "" && (err != nil || slices.Contains(g.Systems, "admin")):
			t.Errorf("%s: %+v, %v", payload, g, err)
		case want != "" && (!errors.As(err, &c) || c.Reason != auth.ReasonClaims || !strings.HasPrefix(c.Told, want)):
			t.Errorf("%s: %v; want %s", payload, err, want)
		}
	}
	for _, user := range []string{`"user":7.5`, `"user":-7`, `"user":1e3`, `"user":null`, `"user":true`, `"user":["a"]`, `"user":""`, `"sub":"x"`} {
		j := newJWT(t, auth.JWTConfig{Secret: secret, Claims: auth.Claims{User: "user"}})
		g, err := j.Authenticate(t.Context(), signText(t, hs256, `{"exp":9999999999,`+user+`}`))
		var c *domain.CredentialError
		if !errors.As(err, &c) || c.Reason != auth.ReasonClaims || !strings.Contains(c.Told, "user") {
			t.Errorf("%s: %+v, %v", user, g, err)
		}
	}
}

// A default is for a claim that is missing. One that is there and empty grants nothing.
func TestTokensWithoutAClaimAreGrantedItsDefault(t *testing.T) {
	cfg := auth.JWTConfig{Secret: secret, Default: auth.Defaults{
		Systems: []string{"orders"}, Rooms: []string{"orders/*"}, Send: []string{"orders/inbound"}, Presence: []string{"orders/"},
	}}
	mapped := cfg
	mapped.Claims = auth.Claims{Systems: "app.systems"}
	const rest = `{"exp":9999999999,"sub":"alice"`
	for _, test := range []struct {
		cfg                            auth.JWTConfig
		payload                        string
		systems, rooms, send, presence string
	}{
		{cfg, rest + `}`, "orders", "orders/*", "orders/inbound", "orders/"},
		{cfg, rest + `,"systems":["chat"]}`, "chat", "orders/*", "orders/inbound", "orders/"},
		{cfg, rest + `,"systems":"chat","rooms":[],"send":null}`, "chat", "", "", "orders/"},
		{mapped, rest + `,"systems":["chat"]}`, "orders", "orders/*", "orders/inbound", "orders/"},
		{mapped, rest + `,"app":{"systems":""},"presence":["x/"]}`, "", "orders/*", "orders/inbound", "x/"},
		{mapped, rest + `,"app":null}`, "", "orders/*", "orders/inbound", "orders/"},
	} {
		g, err := newJWT(t, test.cfg).Authenticate(t.Context(), signText(t, hs256, test.payload))
		got := [4]string{strings.Join(g.Systems, " "), strings.Join(g.Rooms, " "), strings.Join(g.Send, " "), strings.Join(g.Presence, " ")}
		if want := [4]string{test.systems, test.rooms, test.send, test.presence}; err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", test.payload, got, err, want)
		}
	}
}

func TestSettingsOfClaimsAreChecked(t *testing.T) {
	for want, claims := range map[string]auth.Claims{
		"a prefix is for": {Prefix: "push:", Systems: "systems"},
		"at most 256":     {Rooms: strings.Repeat("a.", 200)},
	} {
		if _, err := auth.NewJWT(auth.JWTConfig{Secret: secret, Claims: claims}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", claims, err)
		}
	}
}

func FuzzClaimPaths(f *testing.F) {
	f.Add("resource_access.push.systems", keycloak)
	f.Add("a.b", `{"exp":9999999999,"sub":"alice","a.b":"x","a":{"b":null}}`)
	f.Add("..", `{"":{"":1}}`)
	f.Fuzz(func(t *testing.T, path, payload string) {
		j, err := auth.NewJWT(auth.JWTConfig{Secret: secret, Audience: auth.AnyAudience, Claims: auth.Claims{Systems: path, User: path}})
		if err != nil {
			return
		}
		g, err := j.Authenticate(t.Context(), signText(t, hs256, payload))
		if err != nil && !errors.Is(err, domain.ErrUnauthenticated) {
			t.Fatal(err)
		}
		if err == nil && domain.CheckUser(g.User) != nil {
			t.Fatalf("the user is %q", g.User)
		}
	})
}

func BenchmarkAuthenticateMapped(b *testing.B) {
	j := newJWT(b, auth.JWTConfig{
		Secret: secret, Audience: auth.AnyAudience, Claims: auth.Claims{Systems: "resource_access.push.systems", Rooms: "resource_access.push.rooms"},
	})
	token := signText(b, hs256, keycloak)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
