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

// UUIDHeader is the header that holds a Watermill message's UUID, as the stock
// watermill-nats marshaler writes it.
const UUIDHeader = "_watermill_message_uuid"

// serverHeaderPrefix begins the names of headers with which a publisher instructs
// the server, such as Nats-Msg-Id and Nats-Rollup. They are not meant for readers.
const serverHeaderPrefix = "Nats-"

// Encode makes the NATS message of a record. A record with transport.RawKey and no
// other metadata becomes its bare payload; any other has its UUID and its metadata in
// headers ([ADR-4]). A value that a header cannot carry unchanged is refused with
// domain.ErrInvalid. The result shares the payload.
//
// [ADR-4]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md
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
			return nil, fmt.Errorf("%w: metadata %s is reserved for the UUID",
				domain.ErrInvalid, UUIDHeader)
		case hasPrefixFold(k, serverHeaderPrefix):
			return nil, fmt.Errorf("%w: metadata %s would be an instruction to the NATS server",
				domain.ErrInvalid, k)
		case !fitsHeader(v):
			return nil, fmt.Errorf("%w: metadata %s: a header's value has no line break, "+
				"and no space at either end", domain.ErrInvalid, k)
		}
		m.Header[k] = []string{v}
	}
	if !fitsHeader(r.Message.UUID) {
		return nil, fmt.Errorf("%w: the UUID has a line break, or a space at either end", domain.ErrInvalid)
	}
	m.Header[UUIDHeader] = []string{r.Message.UUID}
	return m, nil
}

// fitsHeader reports whether a header carries the value unchanged.
func fitsHeader(value string) bool {
	return !strings.ContainsAny(value, "\r\n") && strings.Trim(value, " \t") == value
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Decode makes an entry of a message, and takes over its parts. The headers are
// sorted by name, since nats.go does not keep their order. Those that instruct the
// server are left out.
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
