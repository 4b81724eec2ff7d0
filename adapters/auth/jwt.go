package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/domain"
)

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8 << 10

// A JWTConfig says which tokens to believe. Exactly one of Secret and
// PublicKey is set.
type JWTConfig struct {
	Secret    string // for HMAC; at least MinSecret bytes
	PublicKey string // PEM; RSA, ECDSA or Ed25519
	Issuer    string // if set, what "iss" must be
	Audience  string // if set, what "aud" must hold
}

// A JWT checks session tokens: JSON Web Tokens with the claims sub (the user),
// exp (required: a session ends with its token), nbf, and systems, rooms and
// send, each an array of globs as in domain.Grant. What a token does not name
// it does not grant.
type JWT struct {
	cfg    JWTConfig
	key    any
	parser *jwt.Parser
}

// NewJWT returns a JWT. The key's type alone decides which algorithms count,
// so a token cannot choose.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	key, algorithms, err := parseKey(cfg)
	if err != nil {
		return nil, err
	}
	options := []jwt.ParserOption{jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired()}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	return &JWT{cfg, key, jwt.NewParser(options...)}, nil
}

// Authenticate returns what the token entitles its bearer to.
func (j *JWT) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	switch {
	case token == "":
		return domain.Grant{}, unauthenticated("no token")
	case len(token) > MaxToken:
		return domain.Grant{}, unauthenticated("the token is too long")
	}
	var c claims
	if _, err := j.parser.ParseWithClaims(token, &c, j.keyFor); err != nil {
		return domain.Grant{}, unauthenticated(reason(err))
	}
	if domain.CheckUser(c.Subject) != nil {
		return domain.Grant{}, unauthenticated("the token's sub is not a valid user")
	}
	return domain.Grant{
		User:    c.Subject,
		Systems: c.Systems,
		Rooms:   c.Rooms,
		Send:    c.Send,
		Expires: c.ExpiresAt.Time,
	}, nil
}

// keyFor refuses extensions that a token calls critical, as RFC 7515 demands:
// we understand none.
func (j *JWT) keyFor(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errors.New("critical extension")
	}
	return j.key, nil
}

// Mint signs a token that is good for g until g.Expires, which must be set.
// Only a JWT with a secret can.
func (j *JWT) Mint(g domain.Grant) (string, error) {
	secret, ok := j.key.([]byte)
	switch {
	case !ok:
		return "", errors.New("a public key cannot sign: tokens need the secret")
	case domain.CheckUser(g.User) != nil:
		return "", fmt.Errorf("user %q: %w", g.User, domain.CheckUser(g.User))
	case g.Expires.IsZero():
		return "", errors.New("a token must expire")
	}
	c := claims{Systems: g.Systems, Rooms: g.Rooms, Send: g.Send}
	c.Subject, c.Issuer = g.User, j.cfg.Issuer
	c.IssuedAt, c.ExpiresAt = jwt.NewNumericDate(time.Now()), jwt.NewNumericDate(g.Expires)
	if j.cfg.Audience != "" {
		c.Audience = jwt.ClaimStrings{j.cfg.Audience}
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, &c).SignedString(secret)
	if err == nil && len(token) > MaxToken {
		return "", fmt.Errorf("the token has %d bytes, at most %d are accepted: grant less, or use globs", len(token), MaxToken)
	}
	return token, err
}

// claims are read leniently in one point: a single string is an array of one.
type claims struct {
	jwt.RegisteredClaims
	Systems jwt.ClaimStrings `json:"systems,omitempty"`
	Rooms   jwt.ClaimStrings `json:"rooms,omitempty"`
	Send    jwt.ClaimStrings `json:"send,omitempty"`
}

// reason says why in words of ours: the library's errors can quote the token.
func reason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed), errors.Is(err, jwt.ErrTokenSignatureInvalid),
		errors.Is(err, jwt.ErrTokenUnverifiable):
		return "the token is malformed, or not signed by the configured key"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "the token lacks a required claim: exp, or the configured iss or aud"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "the token is for another issuer or audience"
	default:
		return "the token is not valid"
	}
}
