package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
)

// A Transport is a bus: a Watermill Publisher and Subscriber over a [Driver]. It
// is safe for concurrent use.
type Transport struct {
	driver     Driver
	log        LogDriver // nil if the driver is none
	guarantees Guarantees
	cfg        Config
	counts     counters

	pipelines       [pipelineCount]*groupcommit.Pipeline[Outgoing]
	publishFailures limitedLog
	trimming        *trimSchedule

	numberer            *sequence.Numberer // nil: what is published is not numbered
	highWaterMark       *message.Message   // stands for the high-water mark of any topic
	startHighWaterMarks sync.Once          // starts the goroutine that publishes them

	followFailures limitedLog                               // lines on subscriptions that cannot be opened again
	down           atomic.Bool                              // the broker did not answer when Run last asked
	lagging        atomic.Pointer[[]string]                 // topics of subscriptions; as Run saw it last
	lags           atomic.Pointer[map[string]time.Duration] // by topic; as Run saw it last

	closing  context.Context // ends once Close has begun
	cancel   context.CancelFunc
	once     sync.Once
	closeErr error // what Close returns; read after once

	mu      sync.Mutex
	closed  bool                       // guarded by mu
	running sync.WaitGroup             // what Close waits for; Add under mu, while not closed
	subs    map[*subscription]struct{} // guarded by mu
	groups  map[*groupMember]struct{}  // guarded by mu
}

var (
	_ message.Publisher  = (*Transport)(nil)
	_ message.Subscriber = (*Transport)(nil)
)

// New makes a Transport over a driver, which it then owns.
func New(d Driver, cfg Config) *Transport {
	t := &Transport{
		driver:          d,
		guarantees:      d.Guarantees(),
		cfg:             cfg.withDefaults(),
		publishFailures: limitedLog{every: 10 * time.Second},
		followFailures:  limitedLog{every: 10 * time.Second},
		highWaterMark:   newHighWaterMark(),
		subs:            make(map[*subscription]struct{}),
		groups:          make(map[*groupMember]struct{}),
	}
	t.closing, t.cancel = context.WithCancel(context.Background())
	if t.guarantees.Log {
		t.log, _ = d.(LogDriver)
	}
	if !t.guarantees.Log && !t.cfg.NoNumbers {
		t.numberer = sequence.NewNumberer()
	}
	t.trimming = newTrimSchedule(d, t.cfg)
	for i := range t.pipelines {
		t.pipelines[i] = groupcommit.New(groupcommit.Config[Outgoing]{
			Send: d.Publish, Prepare: t.prepare, Copy: t.copyMessages, Explain: busError,
			MaxQueue: t.cfg.PublishQueue,
		})
	}
	return t
}

// Guarantees says what the bus promises.
func (t *Transport) Guarantees() Guarantees { return t.guarantees }

// CheckTopic says whether the bus can carry a topic of this name. An error
// wraps [domain.ErrInvalid].
func (t *Transport) CheckTopic(topic string) error {
	return wrapSentinel(t.driver.CheckTopic(topic), domain.ErrInvalid)
}

// Close ends all subscriptions, waits for their goroutines and closes the
// driver. Publishes under way finish or fail within Config.PublishTimeout;
// later calls fail with [domain.ErrClosed]. Close may be called more than once;
// each call returns when all is done.
func (t *Transport) Close() error {
	t.once.Do(func() { t.closeErr = t.close() })
	return t.closeErr
}

func (t *Transport) close() error {
	t.mu.Lock()
	t.closed = true
	groups := slices.Collect(maps.Keys(t.groups))
	t.mu.Unlock()

	t.cancel()
	var errs []error
	for _, m := range groups {
		if err := m.Close(); err != nil {
			errs = append(errs, fmt.Errorf("transport: leave group %q: %w", m.name, err))
		}
	}
	for i := range t.pipelines {
		t.pipelines[i].Close()
	}
	t.running.Wait()
	if err := t.driver.Close(); err != nil {
		errs = append(errs, fmt.Errorf("transport: close the driver: %w", err))
	}
	return errors.Join(errs...)
}

// enter makes Close wait for the caller, until it calls t.running.Done. It fails
// once Close has begun.
func (t *Transport) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return domain.ErrClosed
	}
	t.running.Add(1)
	return nil
}
