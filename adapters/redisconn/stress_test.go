package redisconn_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
	"github.com/fanfarebus/fanfare/test/broker"
)

var (
	stressSeed = flag.Uint64("stress.seed", 1, "the seed of TestNothingIsLostSilently")
	stressTime = flag.Duration("stress.time", 1500*time.Millisecond, "how long each of its runs takes")
)

const (
	stressTopics = 12
	steadyTopics = 9           // of these; the others are only followed for moments
	ourName      = "publisher" // of the connections that are left alone
	unheard      = -1          // no number has been received yet, and no gap
)

// A stress is one run. Each topic carries the numbers from 1 on, while subscriptions
// come and go, connections are killed, and streams are trimmed. Every subscription
// must receive all numbers once and in order, or a gap where some are missing.
type stress struct {
	t      *testing.T
	server *broker.RedisServer
	bus    *transport.Transport
	pub    *redis.Client
	send   func(topic string, n int) error
	log    bool // the bus keeps a log: gaps may only come from trimming

	mu   sync.Mutex
	sent map[string]int // guarded by mu
}

func TestNothingIsLostSilently(t *testing.T) {
	for own := range 3 {
		for _, scheme := range []string{"redis", "redis-streams"} {
			t.Run(fmt.Sprintf("%s with %d connections of their own", scheme, own), func(t *testing.T) {
				newStress(t, scheme, own).run(rand.New(rand.NewPCG(*stressSeed, uint64(own))))
			})
		}
	}
}

func newStress(t *testing.T, scheme string, own int) *stress {
	server := broker.Redis(t)
	u, err := url.Parse(server.URL(scheme) + "?read_connections=" + strconv.Itoa(own))
	if err != nil {
		t.Fatal(err)
	}
	s := &stress{t: t, server: server, log: scheme == "redis-streams", sent: make(map[string]int)}
	s.pub = redis.NewClient(&redis.Options{
		Addr: server.Addr(), Protocol: 2, DisableIdentity: true, ClientName: ourName,
	})
	t.Cleanup(func() { _ = s.pub.Close() })
	var d transport.Driver
	if s.log {
		d, err = redisstream.Open(t.Context(), u, slog.New(slog.DiscardHandler))
		s.send = func(topic string, n int) error {
			entry := &redis.XAddArgs{Stream: topic, Values: []any{"data", n}}
			return s.pub.XAdd(t.Context(), entry).Err()
		}
	} else {
		d, err = redispubsub.Open(t.Context(), u, slog.New(slog.DiscardHandler))
		s.send = func(topic string, n int) error { return s.pub.Publish(t.Context(), topic, n).Err() }
	}
	if err != nil {
		t.Fatal(err)
	}
	s.bus = transport.New(d, transport.Config{RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond})
	t.Cleanup(func() { _ = s.bus.Close() })
	return s
}

// trimmed reports whether a topic's stream is trimmed to a few entries now and then.
// On a bus with a log, subscriptions to other topics must not be told of any gap.
func trimmed(topic int) bool { return topic%3 == 0 }

func (s *stress) run(rnd *rand.Rand) {
	steady, end := context.WithCancel(s.t.Context())
	defer end()
	var reading, working sync.WaitGroup
	finish := make(chan struct{}) // closed when nothing is sent any more
	for i := range steadyTopics {
		s.subscribe(steady, i, &reading, finish)
	}
	over, stop := context.WithTimeout(s.t.Context(), *stressTime)
	defer stop()
	work := func(often time.Duration, do func(*rand.Rand) error) {
		own := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		working.Go(func() {
			for pause.For(over, time.Duration(own.Int64N(int64(often)))) {
				if err := do(own); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	for i := range stressTopics {
		work(4*time.Millisecond, func(r *rand.Rand) error { return s.publish(i, 1+r.IntN(20)) })
	}
	work(60*time.Millisecond, s.kill)
	if s.log {
		work(30*time.Millisecond, s.trim)
	}
	for i := range 6 {
		work(2*time.Millisecond, func(r *rand.Rand) error {
			ctx, leave := context.WithTimeout(over, time.Duration(r.Int64N(int64(100*time.Millisecond))))
			defer leave()
			topic := r.IntN(stressTopics)
			if i < 3 {
				topic = steadyTopics + i // the same topic each time
			}
			s.subscribe(ctx, topic, &reading, nil)
			<-ctx.Done()
			return nil
		})
	}
	working.Wait()
	close(finish)
	// A subscription that has not noticed yet that it missed numbers notices with these.
	done := make(chan struct{})
	go func() { reading.Wait(); close(done) }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		for i := range stressTopics {
			if err := s.publish(i, 1); err != nil {
				s.t.Fatal(err)
			}
		}
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatal("some subscription does not hear its topic any more")
		}
	}
}

func (s *stress) publish(topic, n int) error {
	name := fmt.Sprint("t", topic)
	s.mu.Lock()
	next := s.sent[name]
	s.sent[name] += n
	s.mu.Unlock()
	for i := range n {
		if err := s.send(name, next+i+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *stress) trim(r *rand.Rand) error {
	for i := range stressTopics {
		if trimmed(i) && r.IntN(2) == 0 {
			if err := s.pub.XTrimMaxLen(s.t.Context(), fmt.Sprint("t", i), r.Int64N(5)).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// kill ends one of the driver's connections, or all of them.
func (s *stress) kill(r *rand.Rand) error {
	list, err := s.pub.ClientList(s.t.Context()).Result()
	if err != nil {
		return err
	}
	all := r.IntN(4) == 0
	var ids []string
	for line := range strings.Lines(list) {
		id, _, ok := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		if ok && !strings.Contains(line, "name="+ourName) {
			ids = append(ids, id)
		}
	}
	for _, i := range r.Perm(len(ids)) {
		if err := s.pub.ClientKillByFilter(s.t.Context(), "ID", ids[i]).Err(); err != nil {
			return err
		}
		if !all {
			break
		}
	}
	return nil
}

// subscribe reads a topic until ctx ends or, if there is a finish, until a number
// arrives that was sent after finish was closed.
func (s *stress) subscribe(
	ctx context.Context, topic int, reading *sync.WaitGroup, finish chan struct{},
) {
	name := fmt.Sprint("t", topic)
	batches, err := s.bus.Batches().Subscribe(ctx, name)
	if err != nil {
		if ctx.Err() == nil && (finish != nil || !errors.Is(err, domain.ErrBusDown)) {
			s.t.Errorf("%s: %v", name, err)
		}
		return
	}
	s.mu.Lock()
	first := s.sent[name] + 1 // it is sent after Subscribe has returned, so it must arrive
	s.mu.Unlock()
	reading.Go(func() {
		last := unheard
		for m := range batches {
			entries, _ := domain.EntriesFrom(m.Context())
			for _, e := range entries {
				if last == unheard && e.Kind == domain.Record {
					if n, _ := strconv.Atoi(string(e.Body)); n > first {
						s.t.Errorf("%s: begins with %d, but %d was sent after Subscribe", name, n, first)
					}
				}
				if last, err = s.follow(topic, last, e); err != nil {
					s.t.Errorf("%s: %v", name, err)
				}
			}
			if trimmed(topic) && last%5 == 0 { // read slowly, so that entries are trimmed before they are read
				pause.For(ctx, 50*time.Millisecond)
			}
			m.Ack()
			if finish != nil && s.isOver(name, last, finish) {
				return
			}
		}
	})
}

// follow returns the last number that was received after this entry. It returns 0
// for a gap, after which any number may come.
func (s *stress) follow(topic, last int, e domain.Entry) (int, error) {
	switch e.Kind {
	case domain.Gap:
		if s.log && !trimmed(topic) {
			return 0, fmt.Errorf("a gap after %d: %s", last, e.Reason)
		}
		return 0, nil
	case domain.Record:
		n, err := strconv.Atoi(string(e.Body))
		if err != nil {
			return last, fmt.Errorf("%q is no number", e.Body)
		}
		if last > 0 && n != last+1 {
			return n, fmt.Errorf("%d follows %d, and no gap was told", n, last)
		}
		return n, nil
	}
	return last, nil
}

// isOver reports whether a subscription has received the last number that was sent.
func (s *stress) isOver(name string, last int, finish chan struct{}) bool {
	select {
	case <-finish:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return last == s.sent[name]
}
