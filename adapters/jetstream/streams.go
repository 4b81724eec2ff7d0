package jetstream

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A target is the stream that a publisher sends a topic's messages to.
type target struct {
	stream string // its name
	log    *publishedLog
	ready  bool // the stream can be published to
}

// A publishedLog is the topic's log in the stream, as it was when the publisher asked. It
// is nil if the user may not see that. It is safe for concurrent use.
type publishedLog struct {
	id     domain.LogID
	newest atomic.Uint64 // the highest sequence that the publisher knows of
}

// passes notes a sequence, and reports whether it is above those noted before. In one log
// that is so, for a topic is published to by one call after the other.
func (l *publishedLog) passes(seq uint64) bool {
	for {
		newest := l.newest.Load()
		if seq <= newest {
			return false
		}
		if l.newest.CompareAndSwap(newest, seq) {
			return true
		}
	}
}

// maxStreams is how many topics' streams a publisher remembers.
const maxStreams = 4096

// streamsFor makes sure that the records' topics have streams that can be published
// to. It returns the streams, and the errors of the topics without one.
func (p *asyncPublisher) streamsFor(
	ctx context.Context, records []transport.Outgoing,
) (streams map[string]target, faults map[string]error) {
	streams = make(map[string]target, 1)
	last := ""
	for _, r := range records {
		if r.Topic == last || streams[r.Topic].stream != "" || faults[r.Topic] != nil {
			continue
		}
		last = r.Topic
		to, err := p.streamOf(ctx, r.Topic, true)
		if err != nil {
			if faults == nil {
				faults = make(map[string]error)
			}
			faults[r.Topic] = notSentError(err)
			continue
		}
		streams[r.Topic] = to
	}
	return streams, faults
}

// notSentError is the error of a record that was not sent because it has no stream.
// If the server answered so, or only a change at the server helps, that is a refusal
// (domain.ErrBusRefused).
func notSentError(err error) error {
	for _, refused := range []error{
		domain.ErrUnsupported, domain.ErrForbidden, errNoStreamTakes, nats.ErrNoResponders,
	} {
		if errors.Is(err, refused) {
			return domain.Refused(err)
		}
	}
	answer := jetstream.JetStreamError(nil)
	if errors.As(err, &answer) && answer.APIError() != nil {
		return domain.Refused(err)
	}
	return err
}

// streamOf returns a topic's stream. For publishing it creates a missing stream, and
// returns an error if the stream cannot be published to, as far as the user may see its
// configuration. Else it returns the zero target if there is no stream.
func (p *asyncPublisher) streamOf(
	ctx context.Context, topic string, publishing bool,
) (to target, err error) {
	p.mu.Lock()
	to = p.streams[topic]
	p.mu.Unlock()
	if to.stream != "" && (to.ready || !publishing) {
		return to, nil
	}
	to = target{ready: publishing}
	err = p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		if publishing {
			to.stream, err = p.template.findOrCreate(ctx, js, topic)
			return err
		}
		to.stream, err = js.StreamNameBySubject(ctx, topic)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) && !publishing {
		return target{}, nil
	}
	if err == nil && publishing {
		to.log, err = p.check(ctx, to.stream, topic)
	}
	if err != nil {
		return target{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.streams) >= maxStreams {
		clear(p.streams)
	}
	p.streams[topic] = to
	return to, nil
}

// check returns the topic's log in a stream, or an error if the stream cannot be published
// to.
func (p *asyncPublisher) check(ctx context.Context, name, topic string) (*publishedLog, error) {
	var info *jetstream.StreamInfo
	err := p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = streamInfo(ctx, js, name)
		return err
	})
	switch {
	case errors.Is(err, domain.ErrForbidden):
		return nil, nil // the answers to what is published will tell
	case err != nil:
		return nil, err
	}
	inspect(p.inspector, &info.Config, topic)
	return &publishedLog{id: logIDOf(info, topic)}, checkFit(&info.Config, topic, unwritable)
}

// compare forgets the stream of a topic if the log in it is not the one that messages are
// published to, as far as the publisher knows: the stream was made anew.
func (p *asyncPublisher) compare(topic string, info *jetstream.StreamInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if log := p.streams[topic].log; log != nil && log.id != logIDOf(info, topic) {
		delete(p.streams, topic)
	}
}

// forgetStreams drops what is known of all topics' streams.
func (p *asyncPublisher) forgetStreams() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.streams)
}
