package fanfare_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// At port 1 nobody listens.
func TestErrorOfPublishNamesTheTopicOnce(t *testing.T) {
	for _, url := range []string{
		"redis://127.0.0.1:1/0", "redis-streams://127.0.0.1:1/0", "nats://127.0.0.1:1",
		"jetstream://127.0.0.1:1", "kafka://127.0.0.1:1",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			p, err := fanfare.NewPublisher(t.Context(), url, "acme.{system}")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_, err = p.Publish(t.Context(), "orders", fanfare.Message{To: []string{"*"}, Data: 1})
			var failed *fanfare.PublishError
			if !errors.Is(err, fanfare.ErrBusDown) || !errors.As(err, &failed) || strings.Count(err.Error(), "acme.orders") != 1 {
				t.Errorf("got %v; want an ErrBusDown that names the topic once", err)
			}
		})
	}
}
