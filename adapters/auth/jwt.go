package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/domain"
)

// MaxToken is the longest token that is accepted, in bytes.
const MaxToken = 8 << 10

// The default and the limit of JWTConfig.Leeway.
const (
	DefaultLeeway = time.Minute
	MaxLeeway     = 10 * time.Minute
)

// DefaultCache is the default of JWTConfig.Cache: some 35,000 tokens.
const DefaultCache = 16 << 20

// A JWTConfig says which tokens a [JWT] accepts. Exactly one of Secret and
// PublicKey must be set.
type JWTConfig struct {
	Secret    string // for HMAC; at least MinSecret bytes
	PublicKey string // one or more RSA, ECDSA or Ed25519 keys in PEM
	Issuer    string // if set, a token's "iss" must be equal
	// Audience must be in a token's "aud". If it is empty, tokens that have an
	// "aud" are refused.
	Audience string
	// Leeway is how far ahead a token's "nbf" may be, since the issuer's clock may
	// differ. 0 means DefaultLeeway.
	Leeway time.Duration
	// Cache is how many bytes are taken, about, to remember tokens whose signatures
	// were verified with a public key. 0 means DefaultCache. Tokens that are signed with
	// a secret are not remembered, since they are verified in a microsecond or two.
	Cache int
}

// A JWT checks session tokens. They are JSON Web Tokens ([RFC 7519]) with these
// claims:
//
//   - sub, required: the user;
//   - exp, required: the session ends when its token expires;
//   - nbf, iss and aud as in RFC 7519;
//   - jti and iat: by these the control plane revokes tokens. One without jti cannot
//     be revoked alone; one without iat counts as issued before any time;
//   - systems, rooms, send and presence: arrays of globs, as in [domain.Grant].
//     Whatever a token does not name there, it does not grant.
//
// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
type JWT struct {
	cfg      JWTConfig
	keys     []key
	verified *verified // nil with a secret; whoever changes the keys has to make a new one
	now      func() time.Time
}

// NewJWT returns a JWT. The types of the keys decide which algorithms are
// accepted, so a token cannot choose a weaker one.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	keys, err := parseKeys(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = DefaultLeeway
	}
	if cfg.Leeway < 0 || cfg.Leeway > MaxLeeway {
		return nil, fmt.Errorf("leeway: want more than 0 and at most %v, got %v", MaxLeeway, cfg.Leeway)
	}
	if cfg.Cache == 0 {
		cfg.Cache = DefaultCache
	}
	if cfg.Cache < 0 {
		return nil, fmt.Errorf("cache: must not be negative, got %d", cfg.Cache)
	}
	j := &JWT{cfg: cfg, keys: keys, now: time.Now}
	if cfg.PublicKey != "" {
		j.verified = newVerified(cfg.Cache)
	}
	return j, nil
}

// Authenticate returns what the token entitles its bearer to. It reads the claims
// only after it has verified the signature. The slices of the grant may be shared with
// other grants of the same token: they must not be changed.
func (j *JWT) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	switch {
	case token == "":
		return domain.Grant{}, distrust(ReasonNone, "no token")
	case len(token) > MaxToken:
		return domain.Grant{}, distrust(ReasonMalformed,
			"the token has %d bytes, at most %d are looked at", len(token), MaxToken)
	}
	w := scratches.Get().(*scratch)
	defer scratches.Put(w)
	w.text = append(w.text[:0], token...)
	var c *claims
	var err error
	if j.verified != nil {
		c, err = j.recall(w)
	} else if c, err = j.read(w); err == nil {
		err = c.check(&j.cfg, j.now())
	}
	if err != nil {
		return domain.Grant{}, err
	}
	return c.grant(), nil
}

// recall is read and check for tokens whose signatures are dear to verify. Only tokens
// that are good are remembered, and what depends on time is checked each time.
func (j *JWT) recall(w *scratch) (*claims, error) {
	id := j.verified.id(w.text)
	c := j.verified.find(id)
	known := c != nil
	if !known {
		var err error
		if c, err = j.read(w); err != nil {
			return nil, err
		}
	}
	now := j.now()
	err := c.check(&j.cfg, now)
	switch {
	case err == nil && !known:
		j.verified.add(id, c)
	case known && !now.Before(c.expires):
		j.verified.drop(id)
	}
	return c, err
}

// read verifies the token in the scratch, and reads its claims.
func (j *JWT) read(w *scratch) (*claims, error) {
	s, err := w.parseToken()
	if err != nil {
		return nil, err
	}
	if err := j.verify(s); err != nil {
		return nil, err
	}
	return parseClaims(s.payload)
}

// verify checks the signature with every key that is for its algorithm.
func (j *JWT) verify(s signed) error {
	tried := false
	for i := range j.keys {
		k := &j.keys[i]
		if !slices.Contains(k.algorithms, s.algorithm) {
			continue
		}
		tried = true
		if k.verifies(s) {
			return nil
		}
	}
	if !tried {
		return conceal(ReasonAlgorithm, "",
			"the token's alg is %.20q, and the configured key is for %s", s.algorithm, j.algorithms())
	}
	return conceal(ReasonSignature, "", "the token is not signed with the configured key")
}

// algorithms names the algorithms of the configured keys.
func (j *JWT) algorithms() string {
	var all []string
	for _, k := range j.keys {
		all = append(all, k.algorithms...)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// Mint signs a token that grants g until g.Expires, which must be set. It was issued
// now, whatever g.Issued is. It needs a JWT with a secret.
func (j *JWT) Mint(g domain.Grant) (string, error) {
	secret, ok := j.keys[0].public.([]byte)
	switch {
	case !ok:
		return "", errors.New("a public key cannot sign: tokens need the secret")
	case domain.CheckUser(g.User) != nil:
		return "", fmt.Errorf("user %q: %w", g.User, domain.CheckUser(g.User))
	case g.Expires.IsZero():
		return "", errors.New("a token must expire")
	case g.Expires.Unix() < 0 || g.Expires.Unix() >= endOfTime:
		return "", fmt.Errorf("a token must expire between the years 1970 and 9999, not in %d",
			g.Expires.Year())
	}
	names := []string{j.cfg.Issuer, j.cfg.Audience, g.Token}
	for _, text := range slices.Concat(names, g.Systems, g.Rooms, g.Send, g.Presence) {
		if !utf8.ValidString(text) {
			return "", fmt.Errorf("%q is not UTF-8", text)
		}
	}
	payload, err := json.Marshal(minted{
		Subject: g.User, Issuer: j.cfg.Issuer, Audience: j.cfg.Audience,
		ID: g.Token, IssuedAt: j.now().Unix(), Expires: g.Expires.Unix(),
		Systems: g.Systems, Rooms: g.Rooms, Send: g.Send, Presence: g.Presence,
	})
	if err != nil {
		return "", err
	}
	input := base64url.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		base64url.EncodeToString(payload)
	signature, err := jwt.SigningMethodHS256.Sign(input, secret)
	token := input + "." + base64url.EncodeToString(signature)
	if err == nil && len(token) > MaxToken {
		return "",
			fmt.Errorf("the token has %d bytes, at most %d are accepted: grant less, or use globs",
				len(token), MaxToken)
	}
	return token, err
}

// minted are the claims that Mint writes.
type minted struct {
	Subject  string   `json:"sub"`
	Issuer   string   `json:"iss,omitempty"`
	Audience string   `json:"aud,omitempty"`
	ID       string   `json:"jti,omitempty"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Systems  []string `json:"systems,omitempty"`
	Rooms    []string `json:"rooms,omitempty"`
	Send     []string `json:"send,omitempty"`
	Presence []string `json:"presence,omitempty"`
}
