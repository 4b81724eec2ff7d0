package watermillbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

var errEnded = errors.New("the subscription ended by itself")

// A feed is one subscription.
type feed struct {
	driver *Driver
	topic  string
	in     <-chan *message.Message // set before Follow returns
	ctx    context.Context         // of the subscription; ends with Close
	cancel context.CancelFunc
}

func (*feed) Log() domain.LogID      { return 0 }
func (*feed) Begin() domain.Position { return "" }

// Close ends the subscription. Messages that still come are nacked.
func (f *feed) Close() error {
	f.cancel()
	return nil
}

// run subscribes. Once the subscription's context has ended, it nacks what still
// comes until the channel is closed, since some Subscribers only end when their
// last message has been taken.
func (f *feed) run(ready chan<- error) {
	defer f.cancel()
	err := recoverPanic(func() (err error) {
		f.in, err = f.driver.sub.Subscribe(f.ctx, f.topic)
		return err
	})
	ready <- err
	if err != nil {
		return
	}
	<-f.ctx.Done()
	for m := range f.in {
		m.Nack()
	}
}

// Read waits for a message, and adds those that are there already, up to a full
// batch. It acks each message as soon as it has taken it.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.ctx.Err() != nil {
		return nil, domain.ErrClosed
	}
	select {
	case m, ok := <-f.in:
		if !ok {
			return nil, f.ended()
		}
		return f.fill([]domain.Entry{take(m)}), nil
	case <-f.ctx.Done():
		return nil, domain.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fill adds the messages to a batch that can be received without waiting.
func (f *feed) fill(batch []domain.Entry) []domain.Entry {
	for len(batch) < transport.BatchSize {
		select {
		case m, ok := <-f.in:
			if !ok {
				return batch // the next Read returns the error
			}
			batch = append(batch, take(m))
		default:
			return batch
		}
	}
	return batch
}

// ended returns the error of a subscription that the Subscriber has ended.
func (f *feed) ended() error {
	err := fmt.Errorf("watermillbus: read %q: %w", f.topic, errEnded)
	if f.ctx.Err() == nil {
		f.driver.setFault(err)
	}
	return err
}

// take makes an entry of a message and acks it. The entry takes over the
// message's payload.
func take(m *message.Message) domain.Entry {
	e := domain.Entry{UUID: m.UUID, Body: m.Payload}
	for name, value := range m.Metadata {
		if name == envelopeKey {
			e.UUID = ""
			continue
		}
		e.Header = append(e.Header, domain.Field{Name: name, Value: value})
	}
	slices.SortFunc(e.Header, func(a, b domain.Field) int { return strings.Compare(a.Name, b.Name) })
	m.Ack()
	return e
}
