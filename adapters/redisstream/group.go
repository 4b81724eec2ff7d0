package redisstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

// nackPause is how long a group waits before it delivers a refused message
// again; the stock default is not at all.
const nackPause = 100 * time.Millisecond

// Group returns a subscriber in a consumer group: the stock one of
// watermill-redisstream. A new group begins with the oldest entry there is.
//
// It is kept from some of its faults. It closes the client that it is given,
// so it has one of its own, which the caller closes with it. It ends for good
// at an entry that it cannot decode, so it is given a decoder that decodes
// everything: what is no message arrives without a payload and with its raw
// fields as metadata. It would block for ever in its first read. And it would
// sleep half a second over the error that Close causes.
//
// Others remain: entries come one by one; goroutines end soon after Close or
// the end of a subscription, but are not waited for; and it knows nothing of
// gaps: what is trimmed before the group has read it is lost silently.
func (d *Driver) Group(name string) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("redisstream: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	client := d.server.Client()
	s, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:                        client,
		ConsumerGroup:                 name,
		Unmarshaller:                  unmarshaller{},
		NackResendSleep:               nackPause,
		DisableIndefiniteInitialBlock: true,
		ShouldStopOnReadErrors:        closed,
	}, watermill.NewSlogLogger(d.log.With(slog.String("group", name))))
	if err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("redisstream: group %s: %w", name, err)
	}
	return s, nil
}

func closed(err error) bool {
	return errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}

// An unmarshaller decodes whatever an entry holds.
type unmarshaller struct{}

func (unmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
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
