package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/natscore"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker/embedded"
)

func TestAnEmbeddedServerCarriesBothTransports(t *testing.T) {
	addr := embedded.NATS(t)
	for name, open := range map[string]transport.Opener{"nats": natscore.Open, "jetstream": jetstream.Open} {
		d, err := open(context.Background(), &url.URL{Scheme: name, Host: addr}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		bus := transport.New(d, transport.Config{})
		in, err := bus.Subscribe(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := bus.Publish(name, message.NewMessage(fmt.Sprint(i), nil)); err != nil {
				t.Fatal(err)
			}
			m := <-in
			if m.UUID != fmt.Sprint(i) {
				t.Errorf("%s: %s instead of %d", name, m.UUID, i)
			}
			m.Ack()
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	}
}
