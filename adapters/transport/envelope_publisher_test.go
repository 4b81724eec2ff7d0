package transport_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	parser "github.com/fanfarebus/fanfare/domain/envelope"
)

// taken is a bus that keeps what it is given.
type taken []*message.Message

func (b *taken) PublishContext(_ context.Context, _ string, messages ...*message.Message) error {
	*b = append(*b, messages...)
	return nil
}

func (b *taken) PublishStored(_ context.Context, _ string, messages ...*message.Message) (transport.Stored, error) {
	*b = append(*b, messages...)
	return transport.Stored{}, nil
}

// An EnvelopePublisher is the last before the bus. However a message was made, what it lets
// pass is read by every node as the same; inbound, too.
func TestAnEnvelopePublisherPublishesNothingThatNodesCouldNotRead(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		m    domain.Message
		good bool
	}{
		"JSON":                {domain.Message{ContentType: domain.JSON, Data: []byte(`{"a":1}`)}, true},
		"a +json type":        {domain.Message{ContentType: "a/b+json", Data: []byte(`{"a":1}`)}, true},
		"empty text":          {domain.Message{ContentType: domain.Text}, true},
		"bytes":               {domain.Message{ContentType: "image/png", Data: []byte(`1,"session":"x"`)}, true},
		"members of +json":    {domain.Message{ContentType: "a/b+json", Data: []byte(`1,"session":"x"`)}, false},
		"members of JSON":     {domain.Message{ContentType: "Application/JSON; v=1", Data: []byte(`1,"to":"*"`)}, false},
		"no JSON":             {domain.Message{ContentType: domain.JSON}, false},
		"two lines":           {domain.Message{ContentType: domain.JSON, Data: []byte("[\n1]")}, false},
		"too deep":            {domain.Message{ContentType: domain.JSON, Data: []byte(strings.Repeat("[", 129) + strings.Repeat("]", 129))}, false},
		"text of bytes":       {domain.Message{ContentType: "text/html", Data: []byte("\xff")}, false},
		"an id of bytes":      {domain.Message{ID: "\xff"}, false},
		"a sender of bytes":   {domain.Message{From: "\xff"}, false},
		"a header of bytes":   {domain.Message{Headers: map[string]string{"a": "\xff"}}, false},
		"a year of 5 digits":  {domain.Message{Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))}, false},
		"a year before zero":  {domain.Message{Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))}, false},
		"a ttl without bound": {domain.Message{TTL: domain.MaxTTL + 1}, false},
		"a ttl before zero":   {domain.Message{TTL: -1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.m.ContentType == "" {
				tt.m.ContentType = domain.Binary
			}
			if tt.m.ID == "" {
				tt.m.ID = "1"
			}
			var b taken
			out := transport.NewEnvelopePublisher(&b, topics, 0)
			m := tt.m
			m.To = []domain.Target{domain.Everyone}
			inbound := tt.m
			_, err := out.Publish(t.Context(), orders, &m)
			for way, err := range map[string]error{"publish": err, "inbound": out.Inbound(t.Context(), orders, &inbound, "01S")} {
				if (err == nil) != tt.good || err != nil && !errors.Is(err, domain.ErrInvalid) {
					t.Errorf("%s: %v, want good %v", way, err, tt.good)
				}
			}
			for _, got := range b {
				read, err := parser.Parse(got.Payload, parser.Options{NoTo: true})
				if err != nil {
					t.Fatalf("%s: %v", got.Payload, err)
				}
				want := tt.m
				want.To, want.Session = read.To, read.Session
				if !read.Equal(want) || len(read.To) == 0 && read.Session != "01S" {
					t.Errorf("%+v was read as %+v", want, read)
				}
			}
		})
	}
}

// failing is a bus whose publishes fail.
type failing struct{ err error }

func (b failing) PublishContext(context.Context, string, ...*message.Message) error { return b.err }

func (b failing) PublishStored(context.Context, string, ...*message.Message) (transport.Stored, error) {
	return transport.Stored{}, b.err
}

// What is known of a publish that failed reaches the caller: how many messages the
// bus has accepted, and whether it is certain that it has none of the others.
func TestAnEnvelopePublisherSaysWhatIsKnownOfAFailure(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	good := &domain.Message{
		ID: "1", To: []domain.Target{domain.Everyone}, ContentType: domain.JSON, Data: []byte("1"),
	}
	bad := &domain.Message{ID: "1", To: []domain.Target{domain.Everyone}, ContentType: domain.JSON}
	refused := &domain.PublishError{Accepted: 3, Refused: true, Err: domain.ErrBusDown}
	for name, tt := range map[string]struct {
		err  error // the bus's
		m    *domain.Message
		want domain.PublishError
	}{
		"certain":         {refused, good, *refused},
		"behind a word":   {fmt.Errorf("move: %w", refused), good, *refused},
		"unknown":         {domain.ErrBusDown, good, domain.PublishError{Err: domain.ErrBusDown}},
		"never sent":      {nil, bad, domain.PublishError{Refused: true, Err: domain.ErrInvalid}},
		"half, unknown":   {&domain.PublishError{Accepted: 1, Err: domain.ErrBusDown}, good, domain.PublishError{Accepted: 1, Err: domain.ErrBusDown}},
		"no PublishError": {errors.New("boom"), good, domain.PublishError{}},
	} {
		out := transport.NewEnvelopePublisher(failing{tt.err}, topics, 0)
		var got *domain.PublishError
		if _, err := out.Publish(t.Context(), orders, tt.m); !errors.As(err, &got) {
			t.Errorf("%s: %v is no PublishError", name, err)
			continue
		}
		if got.Accepted != tt.want.Accepted || got.Refused != tt.want.Refused || tt.want.Err != nil && !errors.Is(got, tt.want.Err) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// Messages that are published together share a buffer. Drivers may append to a payload,
// and an envelope may turn out larger than was expected.
func TestMessagesPublishedTogetherDoNotOverlap(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	large := map[string]string{"note": strings.Repeat("<", 1000)}
	var all []*domain.Message
	for i := range 20 {
		m := &domain.Message{To: []domain.Target{domain.Everyone}, Type: fmt.Sprint("n", i)}
		if i%3 == 0 {
			m.Headers = large
		}
		if err := m.SetData(domain.JSON, []byte(fmt.Sprintf(`{"n":%d}`, i))); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	var b taken
	if _, err := transport.NewEnvelopePublisher(&b, topics, 0).Publish(t.Context(), orders, all...); err != nil {
		t.Fatal(err)
	}
	for _, got := range b {
		_ = append(got.Payload, "overwritten"...)
	}
	if len(b) != len(all) {
		t.Fatalf("%d of %d messages", len(b), len(all))
	}
	for i, got := range b {
		m, err := parser.Parse(got.Payload, parser.Options{})
		if err != nil {
			t.Fatalf("message %d: %s: %v", i, got.Payload, err)
		}
		if m.ID == "" || m.ID != got.UUID || m.Type != all[i].Type || all[i].ID != "" {
			t.Errorf("message %d: %s with the UUID %q; the caller's has the id %q", i, got.Payload, got.UUID, all[i].ID)
		}
	}
}

// storing is a bus that says where it has what is published.
type storing struct {
	taken
	last transport.Stored
}

func (b *storing) PublishStored(
	ctx context.Context, topic string, messages ...*message.Message,
) (transport.Stored, error) {
	return b.last, b.PublishContext(ctx, topic, messages...)
}

func TestAnEnvelopePublisherMakesACursorOfWhatTheBusSays(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	orders, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	at := domain.Location{Log: 7, Position: "p"}
	long := domain.Location{Log: 7, Position: domain.Position(strings.Repeat("p", domain.MaxPosition+1))}
	for name, tt := range map[string]struct {
		last  transport.Stored
		known bool
	}{
		"all":                 {transport.Stored{At: at, Time: second(1)}, true},
		"no time":             {transport.Stored{At: at}, true},
		"nothing":             {transport.Stored{}, false},
		"no log":              {transport.Stored{At: domain.Location{Position: "p"}}, false},
		"a position too long": {transport.Stored{At: long}, false},
	} {
		b := storing{last: tt.last}
		before := time.Now()
		got, err := transport.NewEnvelopePublisher(&b, topics, 0).Publish(t.Context(), orders,
			&domain.Message{ID: "1", To: []domain.Target{domain.Everyone}, ContentType: domain.JSON, Data: []byte("1")},
			&domain.Message{To: []domain.Target{domain.Everyone}, ContentType: domain.JSON, Data: []byte("2")})
		if err != nil || got.IsZero() == tt.known {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if !tt.known {
			continue
		}
		if got.Log != at.Log || got.Position != at.Position || got.ID != domain.HashID(b.taken[1].UUID) {
			t.Errorf("%s: %+v", name, got)
		}
		if want := tt.last.Time; !want.IsZero() && !got.Time.Equal(want) || want.IsZero() && got.Time.Before(before) {
			t.Errorf("%s: the cursor's time is %v", name, got.Time)
		}
	}
}
