package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
)

// A plan says how a missing stream is created.
type plan struct {
	create    bool
	retention time.Duration
	storage   jetstream.StorageType
	replicas  int
	maxBytes  int64
}

func parsePlan(params *dsn.Params) (plan, error) {
	p := plan{
		create:    params.Bool("create", true),
		retention: params.Duration("retention", time.Hour, time.Second),
		replicas:  params.IntTo("replicas", 1, 1, 5),
		maxBytes:  int64(params.Int("max_bytes", -1, 1)),
	}
	switch kind := params.String("storage", "file"); kind {
	case "file":
		p.storage = jetstream.FileStorage
	case "memory":
		p.storage = jetstream.MemoryStorage
	default:
		return p, fmt.Errorf("storage=%s: want file or memory", kind)
	}
	return p, nil
}

func (p plan) stream(topic string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamName(topic), Subjects: []string{topic}, Description: "Fanfare's topic " + topic,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, MaxAge: p.retention, MaxBytes: p.maxBytes,
		Storage: p.storage, Replicas: p.replicas, AllowDirect: true,
		Duplicates: min(2*time.Minute, p.retention),
	}
}

// command is what a person types to do the same.
func (p plan) command(topic string) string {
	return fmt.Sprintf("nats stream add %s --subjects %s --retention limits --discard old --max-age %v --storage %s --replicas %d --defaults",
		streamName(topic), topic, p.retention, strings.ToLower(p.storage.String()), p.replicas)
}

// streamName makes a name for a topic's stream, which no other topic has: dots
// become underscores, and what has no place in a name, or is an underscore
// itself, becomes =XX.
func streamName(topic string) string {
	var b strings.Builder
	for _, c := range []byte(topic) {
		switch {
		case c == '.':
			b.WriteByte('_')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// find returns the name of the topic's stream, which it creates if that is
// allowed.
func (p plan) find(ctx context.Context, js jetstream.JetStream, topic string) (string, error) {
	name, err := js.StreamNameBySubject(ctx, topic)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return name, enabled(err)
	}
	if !p.create {
		return "", fmt.Errorf("%w takes %s, and create=false: create one with\n  %s", errNone, topic, p.command(topic))
	}
	stream, err := js.CreateStream(ctx, p.stream(topic))
	switch {
	case err == nil:
		return stream.CachedInfo().Config.Name, nil
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		// Another node was first, perhaps with other parameters.
		if name, again := js.StreamNameBySubject(ctx, topic); again == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w takes %s, and none can be created: create one with\n  %s\n%w", errNone, topic, p.command(topic), enabled(err))
}

var errNone = errors.New("no stream")

// enabled explains the error of a server without JetStream.
func enabled(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("the server does not serve JetStream: start nats-server with --jetstream: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("the account may not use JetStream: enable it in the server's configuration: %w", err)
	}
	return err
}

// A log is one incarnation of a stream, as far as a topic is concerned.
type log struct {
	stream  string
	created time.Time
	topic   string
	alone   bool // the topic is all that the stream holds
	id      domain.LogID
}

func newLog(info *jetstream.StreamInfo, topic string) (log, error) {
	c := info.Config
	l := log{stream: c.Name, created: info.Created, topic: topic}
	l.id = domain.NewLogID("jetstream", l.stream, l.created.UTC().Format(time.RFC3339Nano), topic)
	l.alone = alone(&c, topic)
	return l, refuse(&c, topic, unusable)
}

// prove proves that whoever has read everything up to at misses nothing when he
// goes on: as things stand, nothing behind it has been dropped.
func (l log) prove(info *jetstream.StreamInfo, at uint64) error {
	switch s := info.State; {
	case !info.Created.Equal(l.created):
		return lost(domain.UnknownCursor, "stream %s began anew at %v", l.stream, info.Created)
	case s.LastSeq < at:
		return lost(domain.UnknownCursor, "stream %s ends at %d, before %d: it is another one", l.stream, s.LastSeq, at)
	case s.FirstSeq > at+1:
		return lost(domain.Trimmed, "stream %s was trimmed: it begins at %d, after %d", l.stream, s.FirstSeq, at)
	}
	return nil
}

func lost(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// look asks for a stream's state.
func look(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// api is a connection's way to ask JetStream. A request that the server refuses
// to take is never answered: api makes that an error at once.
type api struct {
	conn   *natsconn.Conn
	domain string // of JetStream; "" for the server's own
}

func (a api) prefix() string {
	if a.domain == "" {
		return "$JS.API"
	}
	return "$JS." + a.domain + ".API"
}

// ask calls f, which asks JetStream, bounded by the reply timeout.
func (a api) ask(ctx context.Context, f func(context.Context, jetstream.JetStream) error) error {
	js, err := jetstream.New(a.conn.Conn)
	if a.domain != "" {
		js, err = jetstream.NewWithDomain(a.conn.Conn, a.domain)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	refused := a.conn.Watch()
	defer refused.Stop()
	done := make(chan struct{})
	defer func() { cancel(nil); <-done }()
	go func() {
		defer close(done)
		for {
			select {
			case <-refused.Told():
				if err := refused.PublishUnder(a.prefix()); err != nil {
					cancel(err)
					return
				}
			case <-a.conn.Ended():
				cancel(a.conn.Why())
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return a.because(ctx, f(ctx, js))
}

// because puts what is known here into the error of an answer that did not come.
func (a api) because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case err == ctx.Err() && cause != err:
		return cause
	case ctx.Err() != nil && cause != ctx.Err():
		return fmt.Errorf("%w: %v", cause, err) // err says no more than that it was ended
	case errors.Is(err, nats.ErrConnectionClosed):
		return a.conn.Why()
	case errors.Is(err, nats.ErrNoResponders) && a.domain != "":
		return fmt.Errorf("JetStream's domain is %s in the URL: %w", a.domain, err)
	}
	return err
}
