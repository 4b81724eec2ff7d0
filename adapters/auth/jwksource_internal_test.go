package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanfarebus/fanfare/domain"
)

// An issuer stands in for an HTTP server, so that time can be a test's own.
type issuer struct {
	mu     sync.Mutex
	keys   map[string]*ecdsa.PrivateKey // by kid
	down   error
	takes  time.Duration
	asked  []time.Time
	atOnce int // most fetches at one time
	active int
}

func newIssuer(t testing.TB, ids ...string) *issuer {
	i := &issuer{keys: make(map[string]*ecdsa.PrivateKey)}
	for _, id := range ids {
		i.keys[id] = newECDSA(t, elliptic.P256())
	}
	return i
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

func (i *issuer) get(ctx context.Context, _ issuerURL) (keys []*key, ignored []string, err error) {
	i.mu.Lock()
	i.active++
	i.atOnce = max(i.atOnce, i.active)
	i.asked = append(i.asked, time.Now())
	takes := i.takes
	i.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active--
	for id, private := range i.keys {
		k, err := publicKey(private.Public())
		if err != nil {
			return nil, nil, err
		}
		k.id = id
		keys = append(keys, k)
	}
	return keys, nil, errors.Join(i.down, ctx.Err())
}

// token returns a token that is signed with a key of the issuer, or of that name.
func token(t testing.TB, private *ecdsa.PrivateKey, id string, more ...string) string {
	t.Helper()
	c := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "login", "sub": "alice" + strings.Join(more, ""), "exp": 9999999999})
	if id != "" {
		c.Header["kid"] = id
	}
	text, err := c.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// fetching returns a JWT that fetches its keys from the issuer, and what it logs. It is
// run if run is set, until the test ends.
func fetching(t *testing.T, i *issuer, run bool) (*JWT, *journal) {
	t.Helper()
	logged := &journal{}
	j, err := NewJWT(JWTConfig{JWKSURL: "https://login.example.com/jwks?key=s3cr3t", Issuer: "login", Logger: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	j.source.get = i.get
	if run {
		start(t, j)
	}
	return j, logged
}

// start runs the JWT until the test ends, or the returned function is called.
func start(t *testing.T, j *JWT) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

// check authenticates, and compares the reason: "" if the token is good, "later" if it
// cannot be judged.
func check(t *testing.T, j *JWT, token, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := j.Authenticate(ctx, token)
	got := "later"
	switch {
	case err == nil:
		got = ""
	case errors.Is(err, domain.ErrUnauthenticated):
		got = reason(err)
	}
	if got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

func TestTheNamedKeyVerifiesAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a", "b")
		j, _ := fetching(t, i, true)
		check(t, j, token(t, i.keys["a"], "a"), "")
		check(t, j, token(t, i.keys["b"], "b"), "")
		check(t, j, token(t, i.keys["b"], "a"), ReasonSignature)
		check(t, j, token(t, i.keys["b"], ""), "") // without a name all are tried
		check(t, j, token(t, newECDSA(t, elliptic.P256()), "a"), ReasonSignature)
		if n := i.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		wrong := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": 9999999999})
		wrong.Header["kid"] = "a"
		text, _ := wrong.SignedString([]byte("whatever is as long as it has to be"))
		check(t, j, text, ReasonAlgorithm)
		check(t, j, token(t, newECDSA(t, elliptic.P256()), ""), ReasonSignature)
		check(t, j, token(t, i.keys["a"], "c"), ReasonKey)
	})
}

// Somebody who guesses names of keys must not make others wait, and still they get in when
// their key is new.
func TestATokenThatMustNotWaitMakesItsKeyKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, _ := fetching(t, i, true)
		i.takes = time.Second
		i.keys["b"] = newECDSA(t, elliptic.P256())
		begun, newer := time.Now(), token(t, i.keys["b"], "b")
		_, err := j.AuthenticateAtOnce(t.Context(), newer)
		if err == nil || errors.Is(err, domain.ErrUnauthenticated) || !strings.Contains(err.Error(), "too many wrong tokens") {
			t.Errorf("a key that is not known yet: %v", err)
		}
		if _, err := j.AuthenticateAtOnce(t.Context(), token(t, i.keys["a"], "a")); err != nil {
			t.Errorf("a key that is known: %v", err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("they waited for %v", took)
		}
		time.Sleep(fetchPause + 2*i.takes)
		if _, err := j.AuthenticateAtOnce(t.Context(), newer); err != nil {
			t.Errorf("the new key after a while: %v", err)
		}
	})
}

// A new key counts from the first token that needs it on, an old one until it is gone.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, logged := fetching(t, i, true)
		old, kept := token(t, i.keys["a"], "a"), newECDSA(t, elliptic.P256())
		check(t, j, old, "")
		i.change(func() { i.keys["b"] = kept })
		time.Sleep(time.Minute)
		begun := time.Now()
		newer := token(t, kept, "b")
		check(t, j, newer, "")
		if took := time.Since(begun); took > 0 {
			t.Errorf("a key that could have been fetched at once took %v", took)
		}
		check(t, j, old, "")
		i.change(func() { delete(i.keys, "a") })
		time.Sleep(DefaultJWKSRefresh)
		check(t, j, old, ReasonKey) // although it was remembered
		j.keys.Store(&keySet{named: true})
		check(t, j, newer, "") // is remembered: its key has stayed the same
		for _, want := range []string{"added=[a]", "added=[b]", "removed=[a]"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("%s is not in the log:\n%s", want, logged)
			}
		}
	})
}

// However many tokens name keys that nobody knows, the issuer is asked now and then.
func TestUnknownKeysCauseFewFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		i.takes = 100 * time.Millisecond
		j, _ := fetching(t, i, true)
		time.Sleep(time.Second)
		stranger := newECDSA(t, elliptic.P256())
		var all sync.WaitGroup
		begun := time.Now()
		for n := range 60 {
			for range 10 {
				all.Go(func() { check(t, j, token(t, stranger, fmt.Sprint(n)), ReasonKey) })
			}
			time.Sleep(time.Second)
		}
		all.Wait()
		took := time.Since(begun)
		if n := i.fetches() - 1; n < 10 || n > int(took/fetchPause)+1 {
			t.Errorf("%d fetches in %v", n, took)
		}
		if i.atOnce != 1 {
			t.Errorf("%d fetches at once", i.atOnce)
		}
		for n := range i.asked[1:] {
			if pause := i.asked[n+1].Sub(i.asked[n]); pause < fetchPause {
				t.Errorf("%v between two fetches", pause)
			}
		}
		check(t, j, token(t, i.keys["a"], "a"), "")
	})
}

func TestTokensThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, _ := fetching(t, i, true)
		check(t, j, token(t, i.keys["a"], "x"), ReasonKey) // after fetchPause: the next one waits as long
		text := token(t, i.keys["a"], "y")
		var all sync.WaitGroup
		for range maxWaiting {
			all.Go(func() { check(t, j, text, ReasonKey) })
		}
		synctest.Wait()
		begun := time.Now()
		check(t, j, text, "later")
		check(t, j, token(t, i.keys["a"], "a"), "")
		if took := time.Since(begun); took > 0 {
			t.Errorf("one too many waited for %v", took)
		}
		all.Wait()
		if j.source.waiting != 0 {
			t.Errorf("%d still wait", j.source.waiting)
		}
		// Whoever goes does not wait either.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := j.Authenticate(ctx, text); !errors.Is(err, context.Canceled) {
			t.Errorf("gone: %v", err)
		}
	})
}

// While the issuer is down, known keys count, and of others nobody can say.
func TestAnIssuerThatIsDownKeepsItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, logged := fetching(t, i, true)
		known := token(t, i.keys["a"], "a")
		check(t, j, known, "")
		i.change(func() { i.down = errors.New("no route") })
		time.Sleep(48 * time.Hour)
		check(t, j, known, "")
		check(t, j, token(t, i.keys["a"], "a", "fresh"), "")
		check(t, j, token(t, i.keys["a"], "b"), "later")
		if !j.Ready() {
			t.Error("it was ready once, and is not any more")
		}
		if !strings.Contains(logged.String(), "those that are known still count") || strings.Contains(logged.String(), "s3cr3t") {
			t.Errorf("the log says %s", logged)
		}
		if n, most := i.fetches(), int(48*time.Hour/(maxRetry/2))+100; n > most {
			t.Errorf("%d fetches of one that is down", n)
		}
		i.change(func() { i.down = nil })
		time.Sleep(maxRetry)
		synctest.Wait()
		check(t, j, known, "")
		if !strings.Contains(logged.String(), "can be fetched again") {
			t.Errorf("the log says %s", logged)
		}
	})
}

func TestANodeStartsBeforeItsIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		i.down = errors.New("no route")
		j, logged := fetching(t, i, false)
		text := token(t, i.keys["a"], "a")
		check(t, j, text, "later") // it does not run
		start(t, j)
		check(t, j, text, "later")
		if j.Ready() || !strings.Contains(logged.String(), "no token can be checked") {
			t.Errorf("ready: %t; the log says %s", j.Ready(), logged)
		}
		if err := j.Run(t.Context()); err == nil {
			t.Error("it runs twice")
		}
		i.change(func() { i.down, i.takes = nil, time.Second })
		begun := time.Now()
		check(t, j, text, "") // waits for the next try
		if took := time.Since(begun); took > fetchPause+2*time.Second || !j.Ready() {
			t.Errorf("took %v, ready: %t", took, j.Ready())
		}
	})
}

// A set without a usable key is a set: what was there before does not count any more.
func TestAnEmptySetTakesAllKeysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, logged := fetching(t, i, true)
		private := i.keys["a"]
		text := token(t, private, "a")
		check(t, j, text, "")
		i.change(func() { delete(i.keys, "a") })
		time.Sleep(DefaultJWKSRefresh)
		check(t, j, text, "later")
		if !strings.Contains(logged.String(), "no token can be checked") {
			t.Errorf("the log says %s", logged)
		}
		i.change(func() { i.keys["a"] = private })
		check(t, j, text, "")
	})
}

// Issuers with one key often give it no name.
func TestKeysWithoutANameRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "")
		j, _ := fetching(t, i, true)
		old := token(t, i.keys[""], "")
		check(t, j, old, "")
		i.change(func() { i.keys[""] = newECDSA(t, elliptic.P256()) })
		time.Sleep(time.Minute)
		check(t, j, token(t, i.keys[""], ""), "")
		check(t, j, old, ReasonSignature)
	})
}

// Settings change while a node runs: what was fetched is not fetched again first.
func TestTheNextJWTKnowsTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t, "a")
		j, _ := fetching(t, i, false)
		stop := start(t, j)
		text := token(t, i.keys["a"], "a")
		check(t, j, text, "")
		stop()
		i.change(func() { i.down = errors.New("no route") })
		cfg := j.cfg
		cfg.Issuer = "other"
		next, err := j.Next(cfg)
		if err != nil || !next.Ready() {
			t.Fatal(err, "not ready")
		}
		next.source.get = i.get
		start(t, next)
		check(t, next, text, ReasonIssuer)
		cfg.Issuer, cfg.JWKSURL = "login", "https://other.example.com/jwks"
		if other, err := j.Next(cfg); err != nil || other.Ready() {
			t.Errorf("keys of another issuer count: %v", err)
		}
		if _, err := j.Next(JWTConfig{}); err == nil {
			t.Error("settings that are wrong were taken")
		}
		configured, err := j.Next(JWTConfig{Secret: strings.Repeat("s", 32)})
		if err != nil || !configured.Ready() || configured.Run(t.Context()) != nil {
			t.Errorf("a secret has to be fetched: %v", err)
		}
	})
}
