package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/natscore"
	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/publisher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A driver is one of a user's own: it notes what is published, unless its test has
// given it something else to do.
type driver struct {
	transport.Driver // what a publisher does not use
	publish          func(ctx context.Context, records []transport.Outgoing) []error
	sent             []transport.Outgoing
	closed           bool
}

func newDriver() *driver { return &driver{Driver: memory.New(memory.Config{})} }

func (d *driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if d.publish != nil {
		return d.publish(ctx, records)
	}
	d.sent = append(d.sent, records...)
	return nil
}

func (d *driver) Close() error {
	d.closed = true
	return d.Driver.Close()
}

// openers gives d a scheme.
func (d *driver) openers(scheme string) transport.Openers {
	return transport.Openers{scheme: func(context.Context, *url.URL, *slog.Logger) (transport.Driver, error) {
		return d, nil
	}}
}

func to(name string, data any) publisher.Message {
	return publisher.Message{To: []string{name}, Data: data}
}

func TestURLChoosesAmongTheDriversThatAreNamed(t *testing.T) {
	one, other, later := newDriver(), newDriver(), newDriver()
	for _, tt := range []struct {
		url  string
		want *driver
	}{
		{"one://host", one}, {"other://host", later},
	} {
		p, err := publisher.New(t.Context(), tt.url,
			one.openers("one"), other.openers("other"), later.openers("other"))
		if err != nil {
			t.Fatal(err)
		}
		done, err := p.Publish(t.Context(), "orders", to("user:alice", 1))
		if err != nil || len(done.IDs) != 1 {
			t.Errorf("%s: published %v, %v", tt.url, done, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if len(tt.want.sent) != 1 || !tt.want.closed || len(other.sent) > 0 {
			t.Errorf("%s went to another driver, or was not closed", tt.url)
		}
	}
}

func TestWhatCannotBeOpenedSaysWhy(t *testing.T) {
	d := newDriver()
	for name, tt := range map[string]struct {
		cfg     publisher.Config
		url     string
		drivers []transport.Openers
		want    []string
		never   string
	}{
		"no driver": {
			url: "kafka://host", want: []string{"no driver was given", "redisstream.Openers()"}},
		"another driver's scheme": {
			url: "kafka://host", drivers: []transport.Openers{d.openers("b"), d.openers("a")},
			want: []string{`unknown scheme "kafka"`, "a://, b://", "kafka.Openers()"}},
		"a slip of the pen": {
			url: "redis-stream://host", drivers: []transport.Openers{d.openers("redis-streams")},
			want: []string{`unknown scheme "redis-stream"`, "did you mean redis-streams://?"}, never: "redisstream.Openers()"},
		"a slip in a scheme of one's own": {
			url: "my-bsu://u:hunter2@host", drivers: []transport.Openers{d.openers("my-bus")},
			want: []string{"did you mean my-bus://?"}, never: "hunter2"},
		"a scheme that nobody has": {
			url: "amqp://host", drivers: []transport.Openers{d.openers("a")},
			want: []string{`unknown scheme "amqp": use one of a://`}, never: ";"},
		"no URL": {
			drivers: []transport.Openers{d.openers("a")}, want: []string{"the URL is empty", "a://"}},
		"two URLs": {
			url: "a://h b://h", drivers: []transport.Openers{d.openers("a")}, want: []string{"want one URL, got 2"}},
		"what is no URL": {
			url: "a://u:hunter2@h/@", drivers: []transport.Openers{d.openers("a")}, want: []string{"cannot be read"}, never: "hunter2"},
		"no topic template": {
			cfg: publisher.Config{Topic: "orders"}, url: "a://host", drivers: []transport.Openers{d.openers("a")},
			want: []string{"topic", "{system}"}},
		"negative numbers": {
			cfg: publisher.Config{PublishTimeout: -1, PublishQueue: -1, MessageBytes: -1}, url: "a://host",
			drivers: []transport.Openers{d.openers("a")},
			want:    []string{"PublishTimeout must not be negative", "PublishQueue must", "MessageBytes must"}},
		"a parameter that there is not": {
			url: "memory://?retnetion=1h", drivers: []transport.Openers{memory.Openers()}, want: []string{"retnetion", "retention"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := publisher.NewWithConfig(t.Context(), tt.url, tt.cfg, tt.drivers...)
			if err == nil {
				t.Fatal("it was opened")
			}
			for _, text := range tt.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if tt.never != "" && strings.Contains(err.Error(), tt.never) {
				t.Errorf("%q says %q", err, tt.never)
			}
		})
	}
}

func TestHintNamesTheDriverOfEachScheme(t *testing.T) {
	for driver, openers := range map[string]transport.Openers{
		"memory": memory.Openers(), "redispubsub": redispubsub.Openers(), "redisstream": redisstream.Openers(),
		"natscore": natscore.Openers(), "jetstream": jetstream.Openers(), "kafka": kafka.Openers(),
	} {
		for scheme := range openers {
			_, err := publisher.New(t.Context(), scheme+"://host", newDriver().openers("a"))
			if err == nil || !strings.HasSuffix(err.Error(), " "+driver+".Openers()") {
				t.Errorf("%s://: %v", scheme, err)
			}
		}
	}
}

func TestMessagesAreSentInOrderUnderIdsThatGrow(t *testing.T) {
	d := newDriver()
	p, err := publisher.NewOnDriver(d, publisher.Config{Topic: "acme/{system}"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	named := to("room:lobby", "second")
	named.ID = "mine"
	done, err := p.Publish(t.Context(), "orders", to("user:alice", "first"), named, to("*", "third"), to("*", "fourth"))
	ids := done.IDs
	if err != nil || len(ids) != 4 || ids[1] != "mine" {
		t.Fatalf("published %v, %v", ids, err)
	}
	if made := []string{ids[0], ids[2], ids[3]}; !slices.IsSorted(made) || made[0] == made[1] {
		t.Errorf("the ids do not grow: %v", made)
	}
	for i, want := range []string{`"first"`, `"second"`, `"third"`, `"fourth"`} {
		m, err := envelope.Parse(d.sent[i].Message.Payload, envelope.Options{})
		if err != nil || m.ID != ids[i] || string(m.Data) != want || d.sent[i].Topic != "acme/orders" {
			t.Errorf("message %d on %s is %+v, %v; want %s", i, d.sent[i].Topic, m, err, want)
		}
	}
}

func TestNothingIsSentIfOneMessageIsInvalid(t *testing.T) {
	d := newDriver()
	p, err := publisher.NewOnDriver(d, publisher.Config{MessageBytes: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, tt := range map[string]struct {
		system string
		m      publisher.Message
		want   error
		path   string
	}{
		"no system":   {"Orders!", to("*", 1), publisher.ErrInvalid, "system"},
		"no target":   {"orders", publisher.Message{}, publisher.ErrInvalid, "[1].to"},
		"bad target":  {"orders", to("alice", 1), publisher.ErrInvalid, "[1].to[0]"},
		"no JSON":     {"orders", to("*", func() {}), publisher.ErrInvalid, "[1].data"},
		"a long ttl":  {"orders", publisher.Message{To: []string{"*"}, TTL: domain.MaxTTL + 1}, publisher.ErrInvalid, "[1].ttl"},
		"a long text": {"orders", to("*", "more than ten bytes"), publisher.ErrTooLarge, "data"},
	} {
		done, err := p.Publish(t.Context(), tt.system, to("*", 1), tt.m)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("%s: %v; want %v that names %s", name, err, tt.want, tt.path)
		}
		if errors.Is(tt.want, publisher.ErrInvalid) && done.IDs != nil {
			t.Errorf("%s: there are ids %v", name, done.IDs)
		}
	}
	if len(d.sent) > 0 {
		t.Errorf("%d messages were sent", len(d.sent))
	}
}

func TestErrorSaysHowManyWereAccepted(t *testing.T) {
	d := newDriver()
	d.publish = func(_ context.Context, records []transport.Outgoing) []error {
		errs := make([]error, len(records))
		for i := 2; i < len(errs); i++ {
			errs[i] = errors.New("the broker went away")
		}
		return errs
	}
	p, err := publisher.NewOnDriver(d, publisher.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done, err := p.Publish(t.Context(), "orders", to("*", 1), to("*", 2), to("*", 3), to("*", 4))
	var failed *publisher.PublishError
	if !errors.As(err, &failed) || failed.Accepted != 2 || failed.Refused || !errors.Is(err, publisher.ErrBusDown) {
		t.Errorf("failed with %v", err)
	}
	if len(done.IDs) != 4 || done.Cursor != "" {
		t.Errorf("what to publish again is %+v", done)
	}
}

func TestPublishIsBoundedByItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ timeout, want time.Duration }{{0, 800 * time.Millisecond}, {3 * time.Second, 3 * time.Second}} {
			d := newDriver()
			d.publish = func(ctx context.Context, records []transport.Outgoing) []error {
				<-ctx.Done()
				return slices.Repeat([]error{ctx.Err()}, len(records))
			}
			p, err := publisher.NewOnDriver(d, publisher.Config{PublishTimeout: tt.timeout})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if _, err := p.Publish(t.Context(), "orders", to("*", 1)); !errors.Is(err, publisher.ErrBusDown) {
				t.Errorf("failed with %v", err)
			}
			if took := time.Since(start); took != tt.want {
				t.Errorf("took %v; want %v", took, tt.want)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		release := make(chan struct{})
		d.publish = func(context.Context, []transport.Outgoing) []error { <-release; return nil }
		p, err := publisher.NewOnDriver(d, publisher.Config{PublishQueue: 2})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 3)
		for range 3 { // one is with the driver, two wait
			go func() {
				_, err := p.Publish(t.Context(), "orders", to("*", 1))
				ended <- err
			}()
			synctest.Wait()
		}
		if _, err := p.Publish(t.Context(), "orders", to("*", 1)); !errors.Is(err, publisher.ErrLimit) {
			t.Errorf("failed with %v; want ErrLimit", err)
		}
		close(release)
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClosedPublisherPublishesNothing(t *testing.T) {
	d := newDriver()
	p, err := publisher.NewOnDriver(d, publisher.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Publish(t.Context(), "orders", to("*", 1)); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("failed with %v; want ErrClosed", err)
	}
	if len(d.sent) > 0 || !d.closed {
		t.Error("it was published, or the driver is not closed")
	}
}

// A pubSub is a Watermill Publisher.
type pubSub struct{ sent []string }

func (p *pubSub) Publish(topic string, msgs ...*message.Message) error {
	for _, m := range msgs {
		p.sent = append(p.sent, fmt.Sprintf("%s %s", topic, m.UUID))
	}
	return nil
}

func (p *pubSub) Close() error { return nil }

func TestAnyWatermillPublisherWillDo(t *testing.T) {
	pub := &pubSub{}
	p, err := publisher.NewOnDriver(watermillbus.New(pub, nil, watermillbus.Config{}), publisher.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := to("user:alice", 1)
	m.ID = "7"
	if _, err := p.Publish(t.Context(), "orders", m); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(pub.sent, []string{"fanfare.orders 7"}) {
		t.Errorf("the Watermill publisher got %v", pub.sent)
	}
}
