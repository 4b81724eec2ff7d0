package fanfare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	log          *slog.Logger

	replacing sync.Mutex // is held while the settings are replaced, so that the last ones stay

	mu       sync.Mutex
	cfg      AuthConfig     // what all below is made of; guarded by mu, like all below
	jwt      *auth.JWT      // nil if no tokens are taken
	callback *auth.Callback // nil if no endpoint is asked
	replaced chan struct{}  // is closed when another jwt takes the place of this one
	running  bool           // run has begun
}

var _ session.Waiter = (*auth.JWT)(nil) // it waits for an issuer's keys

// newLogins makes what a node goes by at first. In development mode that is nothing.
func newLogins(cfg Config, o options) (*logins, error) {
	l := &logins{
		authenticate: o.login, keys: &auth.Keys{}, log: o.log, replaced: make(chan struct{}),
	}
	if cfg.Dev {
		return l, nil
	}
	_, err := l.set(cfg.Auth)
	return l, err
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
	callback, err := l.endpoint(cfg.Callback)
	if err != nil {
		return session.Identity{}, fmt.Errorf("auth.callback: %w", err)
	}
	if l.callback != nil && l.callback != callback {
		l.callback.Close()
	}
	if l.jwt != jwt {
		if jwt != nil && l.running {
			jwt.WillRun()
		}
		close(l.replaced)
		l.replaced = make(chan struct{})
	}
	l.keys.Replace(keys)
	l.cfg, l.jwt, l.callback = cfg, jwt, callback
	return l.identity(), nil
}

// tokens returns what reads tokens, nil if none are taken. With the same settings it is the
// same one, which remembers what it has verified. The caller holds mu.
func (l *logins) tokens(cfg JWTConfig) (*auth.JWT, error) {
	if !cfg.configured() {
		return nil, nil
	}
	if l.jwt != nil && reflect.DeepEqual(cfg, l.cfg.JWT) {
		return l.jwt, nil
	}
	jc := cfg.auth()
	jc.Logger = l.log
	if l.jwt != nil {
		return l.jwt.Next(jc)
	}
	return auth.NewJWT(jc)
}

// endpoint returns what asks the application's endpoint, nil if there is none. With the same
// settings it is the same one. The caller holds mu.
func (l *logins) endpoint(cfg CallbackConfig) (*auth.Callback, error) {
	switch {
	case cfg.URL == "":
		return nil, nil
	case l.callback != nil && reflect.DeepEqual(cfg, l.cfg.Callback):
		return l.callback, nil
	}
	return auth.NewCallback(cfg.auth())
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
	if callback := l.callback; callback != nil && id.Login == nil {
		id.TokensFirst = l.jwt != nil
		id.Login = func(q session.Login) (domain.Grant, error) {
			return callback.Login(q.Request, q.Address, q.Token)
		}
	}
	switch {
	case l.jwt != nil:
		id.Tokens = l.jwt
	case id.Login == nil:
		id.Tokens = auth.Nobody{} // which says what is missing
	}
	return id
}

// reader returns what reads tokens, nil if none are taken.
func (l *logins) reader() *auth.JWT {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jwt
}

// ready reports whether the keys of tokens are known: those that are fetched may not have come
// yet.
func (l *logins) ready() bool {
	jwt := l.reader()
	return jwt == nil || jwt.Ready()
}

// run fetches the keys of tokens, where they have to be fetched, until ctx ends.
func (l *logins) run(ctx context.Context) error {
	for {
		l.mu.Lock()
		jwt, replaced := l.jwt, l.replaced
		l.running = true
		l.mu.Unlock()
		if err := runUntil(ctx, jwt, replaced); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// runUntil runs the JWT, which may be nil, until ctx ends or it is replaced.
func runUntil(ctx context.Context, jwt *auth.JWT, replaced <-chan struct{}) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		if jwt == nil {
			ended <- nil
			return
		}
		ended <- jwt.Run(running)
	}()
	select {
	case <-replaced:
	case <-ctx.Done():
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
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
	faults := append(all.checkAuth(n.parts.logins.authenticate != nil), all.checkAuthBounds()...)
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return n.parts.logins.replace(all.Auth, n.parts.registry)
}

// replace is set, and tells the registry.
func (l *logins) replace(cfg AuthConfig, registry *session.Registry) error {
	l.replacing.Lock()
	defer l.replacing.Unlock()
	id, err := l.set(cfg)
	if err == nil {
		registry.SetIdentity(id)
	}
	return err
}
