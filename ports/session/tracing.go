package session

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// traceparent is the name of the query parameter, and of the header of frames.
const traceparent = "traceparent"

// TracedEncoder makes the frames of a [V1Encoder] for sessions that have asked for traces:
// headers also have the message's traceparent, unless the application has one of its own
// there. Messages that belong to no trace have the same frames.
type TracedEncoder struct{ V1Encoder }

var _ stream.Encoder = TracedEncoder{}

// Message encodes m.
func (e TracedEncoder) Message(
	system domain.System, m *domain.Message, to domain.Target, at domain.Cursor,
) stream.Frame {
	if m.Traceparent == "" {
		return e.V1Encoder.Message(system, m, to, at)
	}
	for name := range m.Headers {
		if strings.EqualFold(name, traceparent) {
			return e.V1Encoder.Message(system, m, to, at)
		}
	}
	traced := *m // which many sessions share
	traced.Headers = make(map[string]string, len(m.Headers)+1)
	maps.Copy(traced.Headers, m.Headers)
	traced.Headers[traceparent] = m.Traceparent
	return e.V1Encoder.Message(system, &traced, to, at)
}

// parseTraceparent reads whether the client wants traceparents.
func (c *connectRequest) parseTraceparent(query url.Values) error {
	switch query.Get(traceparent) {
	case "", "false", "0":
		return nil
	case "true", "1":
	default:
		return Rejected(http.StatusUnprocessableEntity, "traceparent: want true or false")
	}
	if _, ok := c.Encoder.(V1Encoder); !ok {
		return Rejected(http.StatusUnprocessableEntity,
			"traceparent: only with the subprotocol fanfare.v1.json")
	}
	c.Encoder = TracedEncoder{}
	return nil
}
