package provenance

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// The metadata keys of this package, and the values of moveKey. They are a wire
// format; the package's documentation says what they mean.
const (
	originKey = "fanfare.origin"
	moveKey   = "fanfare.move"

	moveAway  = "leave"
	moveHere  = "here"
	moveGap   = "gap"
	moveNote  = "note"
	moveProbe = "probe"
)

// NewCopy makes the copy of a record, to be published on another bus. It shares
// the entry's memory. What cannot be decoded here cannot be decoded there either.
func NewCopy(e *domain.Entry, from Origin) *message.Message {
	m := message.NewMessage(e.UUID, e.Body)
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	if name := envelope.Repeated(e.Header); name != "" { // metadata has every name once
		m.Metadata["to"] = "(the header " + name + " is there twice)"
	}
	switch e.Kind {
	case domain.MovedAway, domain.MovedHere:
		m.Metadata[moveKey] = moveAway
	case domain.Gap:
		m.Metadata[moveKey] = moveGap
	case domain.Control:
		m.Metadata[moveKey] = moveNote
	}
	m.Metadata[originKey] = from.String()
	return m
}

// AsGap returns what is published instead of a copy that the other bus does
// not take: readers there are told a gap.
func AsGap(copied *message.Message) *message.Message {
	m := newMarker("", moveGap)
	m.Metadata[originKey] = copied.Metadata[originKey]
	return m
}

// NewMovedAway makes the entry that ends a log: a node that is set up to follow goes on
// in the log that a copy of it is in.
func NewMovedAway(id string) *message.Message { return newMarker(id, moveAway) }

// NewMovedHere makes the entry that tells those who begin to read long after a move
// that this log is the one that counts, and how far what was published to the log
// before it was copied.
func NewMovedHere(id string, upTo Origin) *message.Message {
	m := newMarker(id, moveHere)
	m.Metadata[originKey] = upTo.String()
	return m
}

// NewProbe makes an entry that every reader passes over, also one that does not
// know probes. It is copied like everything else. So its copy, which has the same
// id, shows that a copier ran after the probe was published.
func NewProbe(id string) *message.Message { return newMarker(id, moveProbe) }

func newMarker(id, kind string) *message.Message {
	m := message.NewMessage(id, nil)
	m.Metadata[moveKey] = kind
	return m
}
