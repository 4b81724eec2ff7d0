package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// The defaults of JWTConfig.JWKSRefresh and JWTConfig.JWKSTimeout.
const (
	DefaultJWKSRefresh = 15 * time.Minute
	DefaultJWKSTimeout = 10 * time.Second
)

const (
	// fetchPause is at least between the beginnings of two fetches, however many tokens
	// name keys that are not known.
	fetchPause = 5 * time.Second
	// maxRetry is the longest pause after a fetch that failed.
	maxRetry = time.Minute
	// maxWaiting is how many tokens may wait for a fetch. Each holds its request.
	maxWaiting = 1024
)

// A keySource fetches an issuer's set of keys: when [JWT.Run] begins, then as often as
// the settings say, and when a token names a key that is not known. What it has fetched
// counts until it has fetched something else, however long the issuer does not answer.
// It is safe for concurrent use.
type keySource struct {
	at      issuerURL
	get     func(context.Context, issuerURL) (keys []*key, ignored []string, err error)
	refresh time.Duration
	log     *slog.Logger
	keys    *atomic.Pointer[keySet] // of the JWT; only the source stores there
	poke    chan struct{}           // tells Run that wanted has changed; holds one

	successes, failures atomic.Uint64 // fetches, by how they ended

	mu      sync.Mutex
	running bool          // whether Run is; guarded by mu, like all below
	due     bool          // Run is going to be called
	waiting int           // tokens that wait
	begun   uint64        // fetches that have begun
	ended   uint64        // fetches that have ended
	wanted  uint64        // the fetch that some token waits for: begun+1 at most
	changed chan struct{} // is closed and made anew when ended or running changes
	failure error         // of the last fetch that has ended
	fetched time.Time     // when the keys were fetched; zero before
}

// An issuerURL is where an issuer's keys are fetched from.
type issuerURL struct {
	url       string
	discovery bool
	issuer    string // with discovery
}

func newKeySource(cfg JWTConfig, keys *atomic.Pointer[keySet]) (*keySource, error) {
	p := issuerURL{url: cfg.JWKSURL}
	if cfg.Discovery {
		p = issuerURL{url: discoveryURL(cfg.Issuer), discovery: true, issuer: cfg.Issuer}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &keySource{
		at: p, get: newFetcher(cfg.JWKSTimeout).keys, refresh: cfg.JWKSRefresh, log: cfg.Logger,
		keys: keys, poke: make(chan struct{}, 1), changed: make(chan struct{}),
	}, nil
}

// begin makes the source begin with the keys of another one from the same URL.
func (s *keySource) begin(other *keySource) {
	other.mu.Lock()
	s.fetched = other.fetched
	other.mu.Unlock()
	s.keys.Store(other.keys.Load())
}

// Run fetches the issuer's keys, when they are due and when they are needed, until ctx
// ends. Then it returns nil. If the keys are configured it returns nil at once. It must
// not run twice at a time.
func (j *JWT) Run(ctx context.Context) error {
	if j.source == nil {
		return nil
	}
	return j.source.run(ctx)
}

// Ready reports whether the JWT has keys: those that are fetched may not have come yet.
// Once it is true it remains so.
func (j *JWT) Ready() bool {
	if j.source == nil {
		return true
	}
	j.source.mu.Lock()
	defer j.source.mu.Unlock()
	return !j.source.fetched.IsZero()
}

func (s *keySource) run(ctx context.Context) error {
	if !s.start() {
		return errors.New("auth: the keys are already being fetched")
	}
	defer s.stop()
	if s.at.plain() {
		s.log.Warn("the keys of session tokens are fetched without TLS: "+
			"whoever is on the way can replace them", "url", s.at.shown())
	}
	retry := pause.Backoff{Min: time.Second, Max: maxRetry}
	for ctx.Err() == nil {
		begun := time.Now()
		next := s.refresh - pause.Jitter(s.refresh/5) // so that nodes do not ask together
		if s.fetch(ctx) {
			retry.Reset()
		} else {
			next = min(next, time.Since(begun)+retry.Next())
		}
		s.rest(ctx, begun, next)
	}
	return nil
}

// rest waits for d from begun on, or until somebody wants a fetch and fetchPause has
// passed since begun, which is when the last one began.
func (s *keySource) rest(ctx context.Context, begun time.Time, d time.Duration) {
	timer := time.NewTimer(time.Until(begun.Add(d)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-s.poke:
		}
		s.mu.Lock()
		wanted := s.wanted > s.begun
		s.mu.Unlock()
		if wanted {
			timer.Reset(time.Until(begun.Add(min(d, fetchPause))))
		}
	}
}

func (s *keySource) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return false
	}
	s.running, s.due = true, false
	return true
}

// WillRun says that Run is going to be called at once: until then, tokens with keys that are
// not known wait for it, and are not refused. It is for a JWT that takes the place of another
// one while requests come.
func (j *JWT) WillRun() {
	if s := j.source; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.due = true
	}
}

func (s *keySource) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	s.announce()
}

// announce wakes all that wait. The caller holds mu.
func (s *keySource) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// fetch fetches the keys once, and reports whether they came.
func (s *keySource) fetch(ctx context.Context) bool {
	s.mu.Lock()
	s.begun++
	s.mu.Unlock()
	keys, ignored, err := s.get(ctx, s.at)
	if err == nil {
		err = s.take(keys, ignored)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failures.Add(1)
	} else {
		s.successes.Add(1)
		s.fetched = time.Now()
	}
	if ctx.Err() == nil {
		s.report(err)
	}
	s.ended, s.failure = s.begun, err
	s.announce()
	return err == nil
}

// report logs that keys could not be fetched, or can be again. The caller holds mu.
func (s *keySource) report(err error) {
	switch {
	case err != nil && len(s.keys.Load().keys) == 0:
		s.log.Warn("the keys of session tokens cannot be fetched: no token can be checked",
			"url", s.at.shown(), "error", err)
	case err != nil:
		s.log.Warn("the keys of session tokens cannot be fetched: those that are known still count",
			"url", s.at.shown(), "error", err, "since", s.fetched.UTC().Format(time.RFC3339))
	case s.failure != nil:
		s.log.Info("the keys of session tokens can be fetched again", "url", s.at.shown())
	}
}

// take makes the keys that were fetched those that count. A key that was there before
// stays the same, so that tokens which were verified with it stay remembered. It returns
// an error if there is none.
func (s *keySource) take(keys []*key, ignored []string) error {
	before := s.keys.Load().keys
	kept := make(map[*key]bool)
	var added []string
	for i, k := range keys {
		known := false
		for _, old := range before {
			if !kept[old] && !old.removed.Load() && old.same(k) {
				keys[i], kept[old], known = old, true, true
				break
			}
		}
		if !known {
			added = append(added, k.name())
		}
	}
	s.keys.Store(&keySet{keys: keys, named: true})
	var removed []string
	for _, old := range before {
		if !kept[old] {
			old.removed.Store(true)
			removed = append(removed, old.name())
		}
	}
	if len(added)+len(removed) > 0 {
		s.log.Info("the keys of session tokens have changed", "url", s.at.shown(),
			"keys", len(keys), "added", added, "removed", removed, "ignored", ignored)
	}
	if len(keys) == 0 {
		return fmt.Errorf("the set has no key that can verify tokens: %q", ignored[:min(len(ignored), 3)])
	}
	return nil
}

// name is what the log calls the key.
func (k *key) name() string {
	if k.id == "" {
		return "(no kid)"
	}
	return fmt.Sprintf("%.64s", k.id)
}

// await asks for a fetch, and calls found after each that has ended, until found
// returns true or a fetch has ended that began after await did. It returns an error if
// it cannot be known whether the issuer has more keys than those that found has seen.
func (s *keySource) await(ctx context.Context, found func() bool) error {
	want, err := s.ask()
	if err != nil {
		return err
	}
	defer s.leave()
	for {
		s.mu.Lock()
		running, ended, failure, changed := s.running || s.due, s.ended >= want, s.failure, s.changed
		s.mu.Unlock()
		switch { // found comes first: what it looks at may be newer than what was read here
		case found():
			return nil
		case ended:
			return unfetched(failure)
		case !running:
			return errors.New("the issuer's keys are not being fetched: the node is not running")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for newer keys of the issuer: %w", context.Cause(ctx))
		}
	}
}

// ask asks for a fetch, and returns its number. The caller has to call leave, unless
// there is an error.
func (s *keySource) ask() (number uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting >= maxWaiting {
		return 0, fmt.Errorf("%d tokens wait already for newer keys of the issuer", s.waiting)
	}
	s.waiting++
	s.wanted = s.begun + 1
	select {
	case s.poke <- struct{}{}:
	default: // Run is told already
	}
	return s.wanted, nil
}

func (s *keySource) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// unfetched says that tokens cannot be judged, since a fetch has failed.
func unfetched(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the token's key is not known, and newer keys cannot be fetched: %w", err)
}
