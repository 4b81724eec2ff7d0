package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
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

// AnyAudience is the JWTConfig.Audience that accepts tokens for any audience or none.
const AnyAudience = "*"

// A JWTConfig says which tokens a [JWT] accepts. Exactly one of Secret, PublicKey,
// JWKSURL and Discovery must be set.
type JWTConfig struct {
	Secret         string // for HMAC; at least MinSecret bytes
	PreviousSecret string // if set, tokens that were signed with it are accepted, too
	PublicKey      string // one or more RSA, ECDSA or Ed25519 keys or certificates in PEM
	// JWKSURL is where the issuer's public keys are, as a JSON Web Key Set ([RFC 7517]).
	// Discovery says that the issuer tells this URL, as OpenID Connect has it. Then
	// Issuer has to be set. Keys that are fetched need [JWT.Run].
	//
	// [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517
	JWKSURL   string
	Discovery bool
	// JWKSRefresh is how often the keys are fetched again, JWKSTimeout how long that may
	// take. 0 means DefaultJWKSRefresh and DefaultJWKSTimeout.
	JWKSRefresh, JWKSTimeout time.Duration

	Issuer string // if set, a token's "iss" must be equal
	// Audience must be in a token's "aud". If it is empty, tokens that have an
	// "aud" are refused; AnyAudience accepts all.
	Audience string
	// Claims says where in a token the grant is, Default what a token is granted for
	// what it does not have.
	Claims  Claims
	Default Defaults
	// Leeway is how far ahead a token's "nbf" may be, since the issuer's clock may
	// differ. 0 means DefaultLeeway.
	Leeway time.Duration
	// Cache is how many bytes are taken, about, to remember tokens whose signatures
	// were verified with a public key. 0 means DefaultCache. Tokens that are signed with
	// a secret are not remembered, since they are verified in a microsecond or two.
	Cache int
	// Logger is told when keys come, go, or cannot be fetched. Nil logs nothing.
	Logger *slog.Logger
}

// fetches reports whether the keys are fetched, instead of configured.
func (cfg *JWTConfig) fetches() bool { return cfg.JWKSURL != "" || cfg.Discovery }

// sources returns how many of the settings that say where keys are from are set.
func (cfg *JWTConfig) sources() (n int) {
	for _, set := range []bool{
		cfg.Secret != "", cfg.PublicKey != "", cfg.JWKSURL != "", cfg.Discovery,
	} {
		if set {
			n++
		}
	}
	return n
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
// [Claims] can say that the user and the globs are elsewhere in the token.
//
// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
type JWT struct {
	cfg      JWTConfig
	reader   *claimReader // nil if claims have their usual names and no defaults
	keys     atomic.Pointer[keySet]
	source   *keySource // nil if the keys are configured
	verified *verified  // nil with a secret
	now      func() time.Time
}

// NewJWT returns a JWT. The types of the keys decide which algorithms are
// accepted, so a token cannot choose a weaker one. NewJWT does no I/O: keys that have to
// be fetched are unknown until [JWT.Run] has fetched them.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	keys, err := parseKeys(cfg)
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.completed(); err != nil {
		return nil, err
	}
	reader, err := newClaimReader(cfg.Claims, cfg.Default)
	if err != nil {
		return nil, err
	}
	j := &JWT{cfg: cfg, reader: reader, now: time.Now}
	j.keys.Store(&keySet{keys: keys, named: cfg.fetches()})
	if cfg.fetches() {
		if j.source, err = newKeySource(cfg, &j.keys); err != nil {
			return nil, err
		}
	}
	if cfg.Secret == "" {
		j.verified = newVerified(cfg.Cache)
	}
	return j, nil
}

// Next returns a JWT with other settings, which takes the place of j. If both fetch their
// keys from the same URL, it begins with those that j has. Run has to be called for it,
// and ended for j.
func (j *JWT) Next(cfg JWTConfig) (*JWT, error) {
	next, err := NewJWT(cfg)
	if err != nil {
		return nil, err
	}
	if j.source != nil && next.source != nil && next.source.at == j.source.at {
		next.source.begin(j.source)
	}
	return next, nil
}

// completed returns the settings with their defaults, or what is wrong with them.
func (cfg JWTConfig) completed() (JWTConfig, error) {
	defaults.SetZero(&cfg.Leeway, DefaultLeeway)
	defaults.SetZero(&cfg.Cache, DefaultCache)
	defaults.SetZero(&cfg.Claims.User, usual[claimUser])
	defaults.SetZero(&cfg.JWKSRefresh, DefaultJWKSRefresh)
	defaults.SetZero(&cfg.JWKSTimeout, DefaultJWKSTimeout)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Leeway < 0 || cfg.Leeway > MaxLeeway:
		return cfg, fmt.Errorf("leeway: want more than 0 and at most %v, got %v", MaxLeeway, cfg.Leeway)
	case cfg.Cache < 0:
		return cfg, fmt.Errorf("cache: must not be negative, got %d", cfg.Cache)
	case cfg.JWKSRefresh < 0 || cfg.JWKSTimeout < 0:
		return cfg, errors.New("jwks_refresh and jwks_timeout must not be negative")
	case cfg.JWKSURL != "" && cfg.Issuer == "" && (cfg.Audience == "" || cfg.Audience == AnyAudience):
		return cfg, errors.New("jwks_url: whoever owns these keys may sign tokens for other applications, too, " +
			"and all of them would be let in: set issuer, or audience to what the aud of your tokens holds")
	}
	return cfg, nil
}

// Authenticate returns what the token entitles its bearer to. It reads the claims
// only after it has verified the signature. The slices of the grant may be shared with
// other grants of the same token: they must not be changed.
//
// If a token names a key that is not known, Authenticate waits for the set of keys to be
// fetched anew, at most until ctx ends. If they cannot be fetched, the error is no
// [domain.ErrUnauthenticated]: nobody knows whether the token is good.
func (j *JWT) Authenticate(ctx context.Context, token string) (domain.Grant, error) {
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
		c, err = j.recall(ctx, w)
	} else if c, err = j.read(ctx, w); err == nil {
		err = c.check(&j.cfg, j.now())
	}
	if err != nil {
		return domain.Grant{}, err
	}
	return c.grant(), nil
}

// AuthenticateAtOnce is [JWT.Authenticate] that does not wait: if the token names a key that
// is not known, the keys are fetched anew, and the error says that nobody knows yet.
func (j *JWT) AuthenticateAtOnce(ctx context.Context, token string) (domain.Grant, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(errAtOnce)
	return j.Authenticate(ctx, token)
}

var errAtOnce = errors.New("its address has shown too many wrong tokens for that")

// recall is read and check for tokens whose signatures are dear to verify. Only tokens
// that are good are remembered, and what depends on time is checked each time.
func (j *JWT) recall(ctx context.Context, w *scratch) (*claims, error) {
	id := j.verified.id(w.text)
	c := j.verified.find(id)
	known := c != nil
	if !known {
		var err error
		if c, err = j.read(ctx, w); err != nil {
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
func (j *JWT) read(ctx context.Context, w *scratch) (*claims, error) {
	s, err := w.parseToken()
	if err != nil {
		return nil, err
	}
	k, err := j.verify(ctx, s)
	if err != nil {
		return nil, err
	}
	c, err := j.parseClaims(s.payload)
	if err == nil {
		c.key = k
	}
	return c, err
}

// verify returns the key that the token was signed with. If no key that is known can be
// the one, it waits for newer keys.
func (j *JWT) verify(ctx context.Context, s signed) (*key, error) {
	k, err := j.keys.Load().verify(s)
	if !errors.Is(err, errUnknownKey) {
		return k, err
	}
	fetched := j.source.await(ctx, func() bool {
		k, err = j.keys.Load().verify(s)
		return !errors.Is(err, errUnknownKey)
	})
	switch {
	case !errors.Is(err, errUnknownKey):
		return k, err
	case fetched != nil:
		return nil, fetched
	case s.keyID == "":
		return tryKeys(j.keys.Load().keys, s) // which says why not
	default:
		// That the issuer has no such key is public.
		return nil, conceal(ReasonKey, "the key that signed the token is not known here",
			"the token's kid is %.64q, and the issuer's set of keys has no such key", s.keyID)
	}
}

// Mint signs a token that grants g until g.Expires, which must be set. It was issued
// now, whatever g.Issued is. It needs a JWT with a secret.
func (j *JWT) Mint(g domain.Grant) (string, error) {
	var secret []byte
	ok := j.cfg.Secret != ""
	if ok {
		secret = []byte(j.cfg.Secret)
	}
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
	audience := j.cfg.Audience
	if audience == AnyAudience {
		audience = ""
	}
	names := []string{j.cfg.Issuer, audience, g.Token}
	for _, text := range slices.Concat(names, g.Systems, g.Rooms, g.Send, g.Presence) {
		if !utf8.ValidString(text) {
			return "", fmt.Errorf("%q is not UTF-8", text)
		}
	}
	payload, err := json.Marshal(minted{
		Subject: g.User, Issuer: j.cfg.Issuer, Audience: audience,
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
