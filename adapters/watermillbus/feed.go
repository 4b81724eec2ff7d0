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
	d      *Driver
	topic  string
	in     <-chan *message.Message // set before Follow returns
	ctx    context.Context         // of the subscription; ends with Close
	cancel context.CancelFunc
}

func (*feed) Log() domain.LogID      { return 0 }
func (*feed) Begin() domain.Position { return "" }

// Close ends the subscription. What it still brings is nacked.
func (f *feed) Close() error {
	f.cancel()
	return nil
}

// run subscribes and, once the subscription's context has ended, takes what
// still comes: not every Subscriber ends while somebody does not.
func (f *feed) run(ready chan<- error) {
	defer f.cancel()
	err := guard(func() (err error) {
		f.in, err = f.d.sub.Subscribe(f.ctx, f.topic)
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

// Read waits for a message and takes along what is there already. Each is acked
// when it has been taken.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.ctx.Err() != nil {
		return nil, domain.ErrClosed
	}
	select {
	case m, ok := <-f.in:
		if !ok {
			return nil, f.over()
		}
		return f.takeAlong([]domain.Entry{take(m)}), nil
	case <-f.ctx.Done():
		return nil, domain.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *feed) takeAlong(batch []domain.Entry) []domain.Entry {
	for len(batch) < transport.BatchSize {
		select {
		case m, ok := <-f.in:
			if !ok {
				return batch // the next Read tells
			}
			batch = append(batch, take(m))
		default:
			return batch
		}
	}
	return batch
}

func (f *feed) over() error {
	err := fmt.Errorf("watermillbus: read %q: %w", f.topic, errEnded)
	if f.ctx.Err() == nil {
		f.d.health(err)
	}
	return err
}

// take makes an entry of a message, which it then owns, and acks it.
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
