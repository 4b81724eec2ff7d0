package jetstream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A topicLog is one incarnation of the stream that holds a topic. A stream that was
// deleted and created again has another creation time, and so is another log.
type topicLog struct {
	stream  string
	created time.Time // the stream
	topic   string
	id      domain.LogID
}

func newTopicLog(info *jetstream.StreamInfo, topic string) (topicLog, error) {
	c := info.Config
	l := topicLog{stream: c.Name, created: info.Created, topic: topic, id: logIDOf(info, topic)}
	return l, checkFit(&c, topic, unusable)
}

// logIDOf identifies a topic's log in the present incarnation of a stream.
func logIDOf(info *jetstream.StreamInfo, topic string) domain.LogID {
	created := info.Created.UTC().Format(time.RFC3339Nano)
	return domain.NewLogID("jetstream", info.Config.Name, created, topic)
}

// prove returns nil if a reader that has read everything up to sequence readTo misses
// nothing when it goes on: the log is the same, and nothing after readTo was trimmed.
func (l topicLog) prove(info *jetstream.StreamInfo, readTo uint64) error {
	switch s := info.State; {
	case !info.Created.Equal(l.created):
		return gapError(domain.UnknownCursor, "stream %s began anew at %v", l.stream, info.Created)
	case s.LastSeq < readTo:
		return gapError(domain.UnknownCursor, "stream %s ends at %d, before %d: it is another one",
			l.stream, s.LastSeq, readTo)
	case s.FirstSeq > readTo+1:
		return gapError(domain.Trimmed, "stream %s was trimmed: it begins at %d, after %d",
			l.stream, s.FirstSeq, readTo)
	}
	return nil
}

func gapError(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// streamInfo asks the server for a stream's configuration and state.
func streamInfo(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}
