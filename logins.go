package fanfare

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// logins are what a node believes: whose tokens, whose keys, and whom a login names. They
// are made of the settings, and [Node.SetAuth] replaces what they are made of. They are safe
// for concurrent use.
type logins struct {
	authenticate func(session.Login) (domain.Grant, error) // of WithAuthenticator; may be nil
	keys         *auth.Keys                                // the same for as long as the node lives

	mu  sync.Mutex
	cfg AuthConfig // what all below is made of; guarded by mu
	jwt *auth.JWT  // nil if no tokens are taken; guarded by mu
}

// newLogins makes what a node goes by at first.
func newLogins(cfg Config, o options) (*logins, error) {
	l := &logins{authenticate: o.login, keys: &auth.Keys{}}
	if _, err := l.set(cfg.Auth); err != nil {
		return nil, err
	}
	return l, nil
}

// set makes everything anew that the settings change, and returns how clients are known from
// now on. After an error everything is as before.
func (l *logins) set(cfg AuthConfig) (session.Identity, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	jwt, err := l.tokens(cfg.JWT)
	if err != nil {
		return session.Identity{}, fmt.Errorf("auth.jwt: %w", err)
	}
	keys, err := auth.NewKeys(reveal(cfg.APIKeys)...)
	if err != nil {
		return session.Identity{}, fmt.Errorf("auth.api_keys: %w", err)
	}
	l.keys.Replace(keys)
	l.cfg, l.jwt = cfg, jwt
	return l.identity(), nil
}

// tokens returns what reads tokens, nil if none are taken. With the same settings it is the
// same one, which remembers what it has verified. The caller holds mu.
func (l *logins) tokens(cfg JWTConfig) (*auth.JWT, error) {
	switch {
	case cfg.Secret == "" && cfg.PublicKey == "":
		return nil, nil
	case l.jwt != nil && reflect.DeepEqual(cfg, l.cfg.JWT):
		return l.jwt, nil
	}
	return auth.NewJWT(cfg.auth())
}

// current returns how clients are known.
func (l *logins) current() session.Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.identity()
}

// identity is current for those who hold mu.
func (l *logins) identity() session.Identity {
	id := session.Identity{QueryToken: l.cfg.QueryToken, Login: l.authenticate}
	switch {
	case l.jwt != nil:
		id.Tokens = l.jwt
	case id.Login == nil:
		id.Tokens = auth.Nobody{} // which says what is missing
	}
	return id
}

// SetAuth replaces whom the node believes: the keys of session tokens, API keys, and what
// else [AuthConfig] has. All of it counts from the next request on. If anything is wrong with
// the settings, everything stays as it was, and the error says what is wrong.
//
// Requests with an API key that is not among the new ones are refused from then on. Sessions
// that are open stay, also those whose token is not good any more, until they end by
// themselves: to end them at once is what [Node.RevokeUser] and [Node.Disconnect] are for.
// A node in development mode, which believes everybody, returns [ErrUnsupported].
func (n *Node) SetAuth(cfg AuthConfig) error {
	if n.cfg.Dev {
		return fmt.Errorf("auth: a node in development mode believes everybody: %w", ErrUnsupported)
	}
	all := n.cfg
	all.Auth = cfg
	all = all.withDefaults()
	withLogin := n.parts.logins.authenticate != nil
	faults := append(all.checkAuth(withLogin), all.checkAuthBounds()...)
	if err := errors.Join(faults...); err != nil {
		return err
	}
	id, err := n.parts.logins.set(all.Auth)
	if err != nil {
		return err
	}
	n.parts.registry.SetIdentity(id)
	return nil
}
