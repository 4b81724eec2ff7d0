package auth_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/auth"
)

func TestHeadersAreReadByOneStrictParser(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	const payload = `{"sub":"alice","exp":9999999999}`
	for header, want := range map[string]string{
		hs256: "",
		`{"typ":"JWT","alg":"HS256","kid":"1","x":[1]}`: "",
		`{"alg":"HS256","Alg":"none"}`:                  "",
		`{"alg":"HS256","alg":"none"}`:                  auth.ReasonMalformed,
		`{"alg":"none","\u0061lg":"HS256"}`:             auth.ReasonMalformed,
		`{"Alg":"HS256"}`:                               auth.ReasonMalformed,
		`{"alg":["HS256"]}`:                             auth.ReasonMalformed,
		`{"alg":null}`:                                  auth.ReasonMalformed,
		`{"alg":"HS256","typ":1}`:                       auth.ReasonMalformed,
		`{"alg":"HS256","kid":1}`:                       auth.ReasonMalformed,
		`{"alg":"HS256","crit":[]}`:                     auth.ReasonMalformed,
		`{"alg":"HS256","crit":null}`:                   auth.ReasonMalformed,
		`{"alg":"HS256","b64":true}`:                    auth.ReasonMalformed,
		`{"alg":"HS256","crit":["b64"],"b64":false}`:    auth.ReasonMalformed,
		`{"alg":"HS256"} x`:                             auth.ReasonMalformed,
		`{"alg":"hs256"}`:                               auth.ReasonAlgorithm,
		`{"alg":"none"}`:                                auth.ReasonAlgorithm,
		`{"alg":""}`:                                    auth.ReasonAlgorithm,
		`{"alg":"RS256"}`:                               auth.ReasonAlgorithm,
		`{"alg":"HS384"}`:                               auth.ReasonSignature,
	} {
		_, err := j.Authenticate(t.Context(), signText(t, header, payload))
		if got := reasonOf(t, err); got != want {
			t.Errorf("%s: %v; want reason %q", header, err, want)
		}
	}
}

// Each token has only one spelling, so that lists of tokens can be relied on.
func TestEachTokenHasOneSpelling(t *testing.T) {
	j := newJWT(t, auth.JWTConfig{Secret: secret})
	good := signText(t, hs256, `{"sub":"alice","exp":9999999999}`)
	if _, err := j.Authenticate(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	signature := parts[2]
	last := strings.IndexByte(alphabet, signature[len(signature)-1])
	for name, token := range map[string]string{
		"padding":            good + "=",
		"a line break":       good[:10] + "\n" + good[10:],
		"a carriage return":  good + "\r",
		"a space in front":   " " + good,
		"a space behind":     good + " ",
		"bits of no meaning": good[:len(good)-1] + string(alphabet[last^1]),
		"standard base64":    parts[0] + "." + parts[1] + "." + strings.NewReplacer("-", "+", "_", "/").Replace(strings.Repeat("-_", 21)+"A"),
		"a part too many":    good + ".",
		"JSON serialization": `{"payload":"` + parts[1] + `"}`,
		"a part too few":     parts[0] + "." + parts[1],
		"two tokens":         good + "," + good,
		"the scheme with it": "Bearer " + good,
		"quotes":             `"` + good + `"`,
	} {
		_, err := j.Authenticate(t.Context(), token)
		if got := reasonOf(t, err); got != auth.ReasonMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
