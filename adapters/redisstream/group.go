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
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// nackPause is how long a group waits before it delivers a refused message
// again; the stock default is not at all.
const nackDelay = 100 * time.Millisecond

const recreateTimeout = 2 * time.Second

// sayEvery is how often at most a group says that it cannot confirm.
const ackWarningInterval = 10 * time.Second

// Group returns a subscriber in a consumer group: the stock one of
// watermill-redisstream. A new group begins with the oldest entry there is.
// What a member has read and not confirmed, because it ended or is slow, goes
// to another after claim_after.
//
// It is kept from some of its faults. It closes the client that it is given,
// so it has one of its own, which the caller closes with it. It ends for good
// at an entry that it cannot decode, so it is given a decoder that decodes
// everything: what is no message arrives without a payload and with its raw
// fields as metadata. It does not notice that a server lost its data, and the
// groups with it. It would block for ever in its first read. It would sleep half
// a second over the error that Close causes. And it says nothing while the server
// refuses its XACK, which it tries again for ever.
//
// Others remain: entries come one by one; goroutines end soon after Close or
// the end of a subscription, but are not waited for; and it knows nothing of
// gaps: what is trimmed before the group has read it is lost silently.
func (d *Driver) Group(name string) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("redisstream: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	if d.closed.Load() {
		return nil, fmt.Errorf("redisstream: group %s: %w", name, domain.ErrClosed)
	}
	g := &group{name: name, client: d.server.Client(), log: d.log.With(slog.String("group", name))}
	var err error
	g.client.AddHook(&ackErrorHook{log: g.log, limit: rate.Sometimes{First: 1, Interval: ackWarningInterval}})
	g.Subscriber, err = redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:                        g.client,
		ConsumerGroup:                 name,
		Unmarshaller:                  anyUnmarshaller{},
		NackResendSleep:               nackDelay,
		MaxIdleTime:                   d.claimAfter,
		ClaimInterval:                 min(d.claimAfter, redisstream.DefaultClaimInterval),
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
	*redisstream.Subscriber
	name   string
	client *redis.Client
	log    *slog.Logger

	mu     sync.Mutex
	topics []string // that were ever subscribed to; guarded by mu
}

// Subscribe is the stock subscriber's.
func (g *group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	g.mu.Lock()
	if !slices.Contains(g.topics, topic) {
		g.topics = append(g.topics, topic)
	}
	g.mu.Unlock()
	messages, err := g.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("redisstream: group %s: subscribe to %s: %w", g.name, topic, redisconn.Classify(err))
	}
	return messages, nil
}

// stopOnReadError is told why a read stopOnReadError, and says whether reading is over.
func (g *group) stopOnReadError(err error) bool {
	if redis.HasErrorPrefix(err, "NOGROUP") {
		g.recreate()
	}
	return isClosed(err)
}

// recreate makes the groups that a server lost.
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
		} else if !redis.HasErrorPrefix(err, "BUSYGROUP") {
			g.log.Warn("the consumer group is gone and cannot be made", "topic", topic, "error", err)
		}
	}
}

func isClosed(err error) bool {
	return errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}

// A ackErrorHook of a group's client tells of what the server refuses to confirm.
type ackErrorHook struct {
	log   *slog.Logger
	limit rate.Sometimes
}

func (w *ackErrorHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *ackErrorHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook hears the answers to single commands.
func (w *ackErrorHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && cmd.Name() == "xack" && !isClosed(err) {
			w.limit.Do(func() {
				w.log.Warn("the consumer group cannot confirm a message; trying again", "error", err)
			})
		}
		return err
	}
}

// An anyUnmarshaller decodes whatever an entry holds.
type anyUnmarshaller struct{}

func (anyUnmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	fields := make([]field, 0, len(values))
	for k, v := range values {
		text, _ := v.(string)
		fields = append(fields, field{k, []byte(text)})
	}
	e := decode(fields)
	if e.UUID == "" {
		e.UUID = watermill.NewULID()
	}
	m := message.NewMessage(e.UUID, e.Body)
	for _, f := range e.Header {
		m.Metadata.Set(f.Name, f.Value)
	}
	return m, nil
}
