package jetstream

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// maxStreams is how many topics' streams a publisher remembers.
const maxStreams = 4096

// streamsFor makes sure that the records' topics have streams that can be published
// to. It returns the streams' names, and the errors of the topics without one.
func (p *asyncPublisher) streamsFor(
	ctx context.Context, records []transport.Outgoing,
) (streams map[string]string, faults map[string]error) {
	streams = make(map[string]string, 1)
	last := ""
	for _, r := range records {
		if r.Topic == last || streams[r.Topic] != "" || faults[r.Topic] != nil {
			continue
		}
		last = r.Topic
		name, err := p.streamOf(ctx, r.Topic, true)
		if err != nil {
			if faults == nil {
				faults = make(map[string]error)
			}
			faults[r.Topic] = notSentError(err)
			continue
		}
		streams[r.Topic] = name
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

// streamOf returns the name of a topic's stream. For publishing it creates a missing
// stream, and returns an error if the stream cannot be published to, as far as the user
// may see its configuration. Else it returns "" if there is no stream.
func (p *asyncPublisher) streamOf(
	ctx context.Context, topic string, publishing bool,
) (name string, err error) {
	p.mu.Lock()
	name, checked := p.streams[topic], p.checked[topic]
	p.mu.Unlock()
	if name != "" && (checked || !publishing) {
		return name, nil
	}
	err = p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		if publishing {
			name, err = p.template.findOrCreate(ctx, js, topic)
			return err
		}
		name, err = js.StreamNameBySubject(ctx, topic)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) && !publishing {
		return "", nil
	}
	if err == nil && publishing {
		err = p.check(ctx, name, topic)
	}
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.streams) >= maxStreams {
		clear(p.streams)
		clear(p.checked)
	}
	p.streams[topic], p.checked[topic] = name, publishing
	return name, nil
}

// check returns an error if a stream cannot be published to.
func (p *asyncPublisher) check(ctx context.Context, name, topic string) error {
	var info *jetstream.StreamInfo
	err := p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = streamInfo(ctx, js, name)
		return err
	})
	switch {
	case errors.Is(err, domain.ErrForbidden):
		return nil // the answers to what is published will tell
	case err != nil:
		return err
	}
	inspect(p.inspector, &info.Config, topic)
	return checkFit(&info.Config, topic, unwritable)
}

// forgetStreams drops what is known of all topics' streams.
func (p *asyncPublisher) forgetStreams() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.streams)
	clear(p.checked)
}
