// Package orders is a small service that tells users what becomes of their
// orders, and answers their questions. Its tests show how to test a service with
// test/cluster.
package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
)

// A Publisher sends messages to users. [fanfare.Publisher] and [fanfare.Node]
// implement it.
type Publisher interface {
	Publish(ctx context.Context, system string, msgs ...fanfare.Message) (ids []string, err error)
}

// A Service takes payments over HTTP, and reads questions from Fanfare's inbound
// topic. It is safe for concurrent use.
type Service struct {
	push Publisher

	mu   sync.Mutex
	paid map[string]bool // orders; guarded by mu
}

// New returns a service that publishes through push.
func New(push Publisher) *Service { return &Service{push: push, paid: make(map[string]bool)} }

// Handler serves POST /orders/{order}/payment?user=NAME. It answers 204 once the
// bus has the message for the user's devices, and 503 if that is not known.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{order}/payment", func(w http.ResponseWriter, r *http.Request) {
		if err := s.pay(r.Context(), r.PathValue("order"), r.URL.Query().Get("user")); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Service) pay(ctx context.Context, order, user string) error {
	s.mu.Lock()
	s.paid[order] = true
	s.mu.Unlock()
	return s.tell(ctx, "orders", fanfare.Message{
		ID:   "order-" + order + "-paid", // names the event: publishing it again repeats nothing
		To:   []string{"user:" + user},
		Type: "order.paid",
		Data: map[string]string{"order": order},
	})
}

// tell publishes a message. While the bus does not say whether it has the message,
// tell publishes it again under the same id, so that it is delivered once.
func (s *Service) tell(ctx context.Context, system string, m fanfare.Message) (err error) {
	for pause := 100 * time.Millisecond; pause < time.Second; pause *= 2 {
		if _, err = s.push.Publish(ctx, system, m); !errors.Is(err, fanfare.ErrBusDown) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("orders: telling %v of %s: %w", m.To, m.ID, err)
}

// Answer answers what users send to the service, until said is closed.
func (s *Service) Answer(said <-chan *message.Message) {
	for m := range said {
		if err := s.answer(m.Context(), m.Payload); err != nil {
			m.Nack() // the bus delivers it again
			continue
		}
		m.Ack()
	}
}

func (s *Service) answer(ctx context.Context, payload []byte) error {
	var asked struct {
		ID, From, Type string
		Data           struct{ Order string }
	}
	if json.Unmarshal(payload, &asked) != nil || asked.Type != "chat.said" {
		return nil // acked: it would be just as unreadable the next time
	}
	s.mu.Lock()
	paid := s.paid[asked.Data.Order]
	s.mu.Unlock()
	return s.tell(ctx, "chat", fanfare.Message{
		ID:   "answer-to-" + asked.ID,
		To:   []string{"user:" + asked.From}, // the node has written it: clients cannot forge it
		Type: "chat.answered",
		Data: map[string]any{"order": asked.Data.Order, "paid": paid},
	})
}
