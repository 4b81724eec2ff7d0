// Package orders is an example of a small service. It tells users about their
// payments, and answers their questions. Its tests show how to test such a
// service with package test/cluster.
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

// A Publisher publishes messages to users. Both [*fanfare.Publisher] and
// [*fanfare.Node] are Publishers.
type Publisher interface {
	Publish(ctx context.Context, system string, msgs ...fanfare.Message) (fanfare.Published, error)
}

// A Service receives payments over HTTP, and questions from Fanfare's inbound
// topic. It is safe for concurrent use.
type Service struct {
	push Publisher

	mu   sync.Mutex
	paid map[string]bool // orders that are paid; guarded by mu
}

// New returns a service that publishes through push.
func New(push Publisher) *Service { return &Service{push: push, paid: make(map[string]bool)} }

// Handler serves POST /orders/{order}/payment?user=NAME. It answers 204 once the
// bus has the message to the user, and 503 if that is not certain.
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
	return s.publish(ctx, "orders", fanfare.Message{
		ID:   "order-" + order + "-paid", // names the event, so that publishing it twice is safe
		To:   []string{"user:" + user},
		Type: "order.paid",
		Data: map[string]string{"order": order},
	})
}

// publish publishes a message. While the outcome is unknown it tries again, a few
// times, with the same id.
func (s *Service) publish(ctx context.Context, system string, m fanfare.Message) (err error) {
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

// Answer answers the questions of users, until the channel is closed.
func (s *Service) Answer(questions <-chan *message.Message) {
	for m := range questions {
		if err := s.answer(m.Context(), m.Payload); err != nil {
			m.Nack() // the bus delivers it again
			continue
		}
		m.Ack()
	}
}

func (s *Service) answer(ctx context.Context, payload []byte) error {
	var question struct {
		ID, From, Type string
		Data           struct{ Order string }
	}
	if json.Unmarshal(payload, &question) != nil || question.Type != "chat.said" {
		return nil // an error would only make the bus deliver it again
	}
	s.mu.Lock()
	paid := s.paid[question.Data.Order]
	s.mu.Unlock()
	return s.publish(ctx, "chat", fanfare.Message{
		ID:   "answer-to-" + question.ID,
		To:   []string{"user:" + question.From}, // set by the node, so no client can forge it
		Type: "chat.answered",
		Data: map[string]any{"order": question.Data.Order, "paid": paid},
	})
}
