package natsconn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// UUIDHeader is the header that holds a Watermill message's UUID. The stock
// watermill-nats marshaler writes it too.
const UUIDHeader = "_watermill_message_uuid"

// serverHeaders begin what a publisher tells the server, not the reader:
// Nats-Msg-Id, Nats-Rollup and the like.
const serverHeaderPrefix = "Nats-"

// Encode makes what goes on the wire. A message with transport.RawKey and no
// other metadata is its bare payload; any other has its UUID and its metadata in
// headers. What a header cannot carry unchanged is refused with
// domain.ErrInvalid. The result shares the payload.
func Encode(r transport.Outgoing) (*nats.Msg, error) {
	m := &nats.Msg{Subject: r.Topic, Data: r.Message.Payload}
	metadata := r.Message.Metadata
	if metadata[transport.RawKey] != "" && len(metadata) == 1 {
		return m, nil
	}
	m.Header = make(nats.Header, len(metadata)+1)
	for k, v := range metadata {
		switch {
		case k == transport.RawKey:
			continue
		case k == UUIDHeader:
			return nil, fmt.Errorf("%w: metadata %s is reserved for the UUID", domain.ErrInvalid, UUIDHeader)
		case hasPrefixFold(k, serverHeaderPrefix):
			return nil, fmt.Errorf("%w: metadata %s would be an instruction to the NATS server", domain.ErrInvalid, k)
		case !fitsHeader(v):
			return nil, fmt.Errorf("%w: metadata %s: a header's value has no line break, and no space at either end", domain.ErrInvalid, k)
		}
		m.Header[k] = []string{v}
	}
	if !fitsHeader(r.Message.UUID) {
		return nil, fmt.Errorf("%w: the UUID has a line break, or a space at either end", domain.ErrInvalid)
	}
	m.Header[UUIDHeader] = []string{r.Message.UUID}
	return m, nil
}

func fitsHeader(value string) bool {
	return !strings.ContainsAny(value, "\r\n") && strings.Trim(value, " \t") == value
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Decode takes the message's parts over. Headers come sorted by name: nats.go
// does not keep their order. Those that speak to the server are left out.
func Decode(data []byte, headers nats.Header) domain.Entry {
	e := domain.Entry{Body: data}
	if len(headers) == 0 {
		return e
	}
	for _, k := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case k == UUIDHeader:
			e.UUID = headers.Get(k)
		case hasPrefixFold(k, serverHeaderPrefix):
		default:
			for _, v := range headers[k] {
				e.Header = append(e.Header, domain.Field{Name: k, Value: v})
			}
		}
	}
	return e
}
