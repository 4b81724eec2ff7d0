package redisstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	stock "github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// nackDelay is how long a group waits before it delivers a nacked message again.
	// The stock subscriber's default is not to wait.
	nackDelay = 100 * time.Millisecond
	// recreateTimeout bounds an attempt to create the groups that a server has lost.
	recreateTimeout = 2 * time.Second
	// ackWarningInterval is how often at most a group logs that it cannot ack.
	ackWarningInterval = 10 * time.Second
)

// Group returns a subscriber in a consumer group: the stock subscriber of
// watermill-redisstream. A new group begins with the oldest entry of the stream. An
// entry that a member has read and not acked, because the member ended or is slow,
// is given to another member after claim_after.
//
// Group works around these faults of the stock subscriber:
//
//   - It closes the client that it is given. So it gets a client of its own, which
//     is closed together with it.
//   - It ends for good when it cannot decode an entry. So it gets a decoder that
//     decodes every entry: one that is no message becomes a message without a
//     payload, with the entry's fields as metadata.
//   - It does not notice that a server has lost its data, and the groups with it.
//     So the groups are created again.
//   - Its first read blocks without a time limit, it sleeps for half a second
//     after the error that Close causes, and it says nothing while the server
//     refuses XACK, which it repeats for ever. Settings and a hook prevent that.
//
// Other faults remain. Entries are delivered one at a time. Goroutines end soon
// after Close or after the end of a subscription, but nothing waits for them. And
// gaps are not noticed: entries that are trimmed before the group has read them are
// lost silently.
func (d *Driver) Group(name string) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("redisstream: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	if d.closed.Load() {
		return nil, fmt.Errorf("redisstream: group %s: %w", name, domain.ErrClosed)
	}
	g := &group{name: name, client: d.server.Client(), log: d.log.With(slog.String("group", name))}
	g.client.AddHook(&ackErrorHook{
		log: g.log, limit: rate.Sometimes{First: 1, Interval: ackWarningInterval},
	})
	var err error
	g.Subscriber, err = stock.NewSubscriber(stock.SubscriberConfig{
		Client:                        g.client,
		ConsumerGroup:                 name,
		Unmarshaller:                  anyUnmarshaller{},
		NackResendSleep:               nackDelay,
		MaxIdleTime:                   d.claimAfter,
		ClaimInterval:                 min(d.claimAfter, stock.DefaultClaimInterval),
		DisableIndefiniteInitialBlock: true,
		ShouldStopOnReadErrors:        g.stopOnReadError,
	}, watermill.NewSlogLogger(g.log))
	if err != nil {
		_ = g.client.Close()
		return nil, fmt.Errorf("redisstream: group %s: %w", name, err)
	}
	return g, nil
}

// A group is a member of a consumer group. It is safe for concurrent use.
type group struct {
	*stock.Subscriber
	name   string
	client *redis.Client
	log    *slog.Logger

	mu     sync.Mutex
	topics []string // every topic that was ever subscribed to; guarded by mu
}

// Subscribe subscribes with the stock subscriber, and remembers the topic.
func (g *group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	g.mu.Lock()
	if !slices.Contains(g.topics, topic) {
		g.topics = append(g.topics, topic)
	}
	g.mu.Unlock()
	messages, err := g.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("redisstream: group %s: subscribe to %s: %w",
			g.name, topic, redisconn.Classify(err))
	}
	return messages, nil
}

// stopOnReadError reports whether the stock subscriber should stop reading after
// this error. If the group does not exist any more, it is created again first.
func (g *group) stopOnReadError(err error) bool {
	if redis.HasErrorPrefix(err, "NOGROUP") {
		g.recreate()
	}
	return isClosed(err)
}

// recreate creates the groups of all topics that do not exist any more.
func (g *group) recreate() {
	g.mu.Lock()
	topics := slices.Clone(g.topics)
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recreateTimeout)
	defer cancel()
	for _, topic := range topics {
		err := g.client.XGroupCreateMkStream(ctx, topic, g.name, "0").Err()
		if err == nil {
			g.log.Warn("the consumer group was gone: it begins anew", "topic", topic)
		} else if !redis.HasErrorPrefix(err, "BUSYGROUP") { // BUSYGROUP: the group exists
			g.log.Warn("the consumer group is gone and cannot be made", "topic", topic, "error", err)
		}
	}
}

// isClosed reports whether an error comes from closing the subscriber or a subscription.
func isClosed(err error) bool {
	return errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.Canceled)
}

// An ackErrorHook is a hook of a group's client. It logs the errors of XACK, which
// the stock subscriber does not report.
type ackErrorHook struct {
	log   *slog.Logger
	limit rate.Sometimes
}

// DialHook changes nothing.
func (h *ackErrorHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (h *ackErrorHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook looks at the results of single commands, of which XACK is one.
func (h *ackErrorHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && cmd.Name() == "xack" && !isClosed(err) {
			h.limit.Do(func() {
				h.log.Warn("the consumer group cannot confirm a message; trying again", "error", err)
			})
		}
		return err
	}
}

// An anyUnmarshaller makes a message of any entry. It never returns an error.
type anyUnmarshaller struct{}

// Unmarshal makes a message of an entry's fields. A message without a UUID gets a
// new one.
func (anyUnmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	fields := make([]field, 0, len(values))
	for name, value := range values {
		text, _ := value.(string)
		fields = append(fields, field{name, []byte(text)})
	}
	e := new(arena).decode(fields)
	if e.UUID == "" {
		e.UUID = domain.NewID()
	}
	m := message.NewMessage(e.UUID, e.Body)
	for _, f := range e.Header {
		m.Metadata.Set(f.Name, f.Value)
	}
	return m, nil
}
