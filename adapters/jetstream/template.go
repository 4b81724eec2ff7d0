package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// A streamTemplate says whether and how a missing stream is created.
type streamTemplate struct {
	create    bool // false: never
	retention time.Duration
	storage   jetstream.StorageType
	replicas  int
	maxBytes  int64
}

func parseTemplate(params *dsn.Params) (streamTemplate, error) {
	t := streamTemplate{
		create:    params.Bool("create", true),
		retention: params.Duration("retention", time.Hour, time.Second),
		replicas:  params.IntTo("replicas", 1, 1, 5),
		maxBytes:  int64(params.Int("max_bytes", -1, 1)),
	}
	switch kind := params.String("storage", "file"); kind {
	case "file":
		t.storage = jetstream.FileStorage
	case "memory":
		t.storage = jetstream.MemoryStorage
	default:
		return t, fmt.Errorf("storage=%s: want file or memory", kind)
	}
	return t, nil
}

// config is the configuration of a topic's new stream.
func (t streamTemplate) config(topic string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamName(topic), Subjects: []string{topic}, Description: "Fanfare's topic " + topic,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: t.retention, MaxBytes: t.maxBytes,
		Storage: t.storage, Replicas: t.replicas, AllowDirect: true,
		Duplicates: min(2*time.Minute, t.retention), // the server refuses more than MaxAge
	}
}

// command is the command with which a person creates the same stream.
func (t streamTemplate) command(topic string) string {
	return fmt.Sprintf("nats stream add %s --subjects %s --retention limits --discard old "+
		"--max-age %v --storage %s --replicas %d --defaults",
		streamName(topic), topic, t.retention, strings.ToLower(t.storage.String()), t.replicas)
}

// streamName makes a name for a topic's stream that no other topic's stream has. Dots
// become underscores; underscores and all characters that are not allowed in a name
// become =XX.
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

// findOrCreate returns the name of the topic's stream. It creates a missing stream if
// the URL allows that.
func (t streamTemplate) findOrCreate(
	ctx context.Context, js jetstream.JetStream, topic string,
) (string, error) {
	name, err := js.StreamNameBySubject(ctx, topic)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return name, explainUnavailable(err)
	}
	if !t.create {
		return "", fmt.Errorf("%w takes %s, and create=false: create one with\n  %s",
			errNoStreamTakes, topic, t.command(topic))
	}
	stream, err := js.CreateStream(ctx, t.config(topic))
	switch {
	case err == nil:
		return stream.CachedInfo().Config.Name, nil
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
		// Another node was faster, perhaps with other parameters.
		if name, err := js.StreamNameBySubject(ctx, topic); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w takes %s, and none can be created: create one with\n  %s\n%w",
		errNoStreamTakes, topic, t.command(topic), explainUnavailable(err))
}

// errNoStreamTakes begins errors that go on with "takes <topic>".
var errNoStreamTakes = errors.New("no stream")

// explainUnavailable adds to err what to do about a server without JetStream.
func explainUnavailable(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("the server does not serve JetStream: start nats-server with --jetstream: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("the account may not use JetStream: enable it in the server's configuration: %w", err)
	}
	return err
}
