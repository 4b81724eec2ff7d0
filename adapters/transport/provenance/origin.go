package provenance

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// When a bus is moved, its messages are copied to another one. A copy says in
// its metadata where it comes from; and marks, which are no messages, say where
// the one log ends and the other goes on.
const (
	// originKey holds an Origin, as Append writes it.
	originKey = "fanfare.origin"
	// moveKey marks what is no message; its value is one of those below.
	moveKey = "fanfare.move"

	moveLeave = "leave" // without an origin: leave this log; a copy of it: arrive here
	moveHere  = "here"  // this log has been arrived at; said again and again
	moveGap   = "gap"   // something could not be copied
	moveNote  = "note"  // nothing: a copy of what was no message
	moveProbe = "probe" // nothing: its copy, a moveNote of the same id, shows that a Bridge runs
)

// maxPlaces is how many logs back a copy names its places.
const maxPlaces = 4

// An Origin says where a copy comes from.
type Origin struct {
	Locations []domain.Location // in the log it was copied from, then in the one before that; 1 to 4
	After     domain.Position   // in the first of these: what was copied before it; "" if nothing
	Time      time.Time         // when the first of the logs took it; zero if nobody knows
	Late      bool              // copied after the move
}

// OriginOf is the origin of a copy of e, which was read from the log, behind
// after.
func OriginOf(e *domain.Entry, log domain.LogID, after domain.Position, late bool) Origin {
	o := Origin{Locations: []domain.Location{{Log: log, Position: e.Position}}, After: after, Time: e.Time, Late: late}
	if !e.Late {
		o.Locations = append(o.Locations, e.Origins[:min(len(e.Origins), maxPlaces-1)]...)
	}
	return o
}

// String is what ParseOrigin reads: milliseconds, After, and places, as in
// "1732547000123 0a1a c0ffee:0a1b badcafe:2c"; "-" for no After; "late" at the
// end.
func (o Origin) String() string {
	b := strconv.AppendInt(nil, unixMilli(o.Time), 10)
	b = append(b, ' ')
	if o.After == "" {
		b = append(b, '-')
	}
	b = hex.AppendEncode(b, []byte(o.After))
	for _, p := range o.Locations {
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(p.Log), 16)
		b = append(b, ':')
		b = hex.AppendEncode(b, []byte(p.Position))
	}
	if o.Late {
		b = append(b, " late"...)
	}
	return string(b)
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// ParseOrigin reads what String writes. Any input is safe; an error wraps
// domain.ErrInvalid.
func ParseOrigin(text string) (Origin, error) {
	var o Origin
	text, o.Late = strings.CutSuffix(text, " late")
	words := strings.Split(text, " ")
	ms, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil || ms < 0 || len(words) < 3 || len(words) > 2+maxPlaces {
		return Origin{}, errOrigin
	}
	if words[1] != "-" {
		after, ok := parsePosition(words[1])
		if !ok {
			return Origin{}, errOrigin
		}
		o.After = after
	}
	if ms > 0 {
		o.Time = time.UnixMilli(ms).UTC()
	}
	for _, word := range words[2:] {
		log, at, _ := strings.Cut(word, ":")
		id, err := strconv.ParseUint(log, 16, 64)
		position, ok := parsePosition(at)
		if err != nil || !ok || id == 0 {
			return Origin{}, errOrigin
		}
		o.Locations = append(o.Locations, domain.Location{Log: domain.LogID(id), Position: position})
	}
	return o, nil
}

func parsePosition(text string) (domain.Position, bool) {
	p, err := hex.DecodeString(text)
	return domain.Position(p), err == nil && len(p) > 0 && len(p) <= domain.MaxPosition
}

var errOrigin = fmt.Errorf("%w: not the origin of a copy", domain.ErrInvalid)

// NewCopy makes the copy of a record, to be published on another bus. It shares
// the entry's memory. What nobody can read stays so.
func NewCopy(e *domain.Entry, from Origin) *message.Message {
	m := message.NewMessage(e.UUID, e.Body)
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	if name := envelope.Repeated(e.Header); name != "" { // which metadata cannot say
		m.Metadata["to"] = "(the header " + name + " is there twice)"
	}
	switch e.Kind {
	case domain.MovedAway, domain.MovedHere:
		m.Metadata[moveKey] = moveLeave
	case domain.Gap:
		m.Metadata[moveKey] = moveGap
	case domain.Control:
		m.Metadata[moveKey] = moveNote
	}
	m.Metadata[originKey] = from.String()
	return m
}

// AsGap is what is published in the place of a copy that the other bus does not
// take.
func AsGap(copied *message.Message) *message.Message {
	m := newMark("", moveGap)
	m.Metadata[originKey] = copied.Metadata[originKey]
	return m
}

// NewMovedAway makes the mark that ends a log: whoever is set up to follow goes on
// in the log that its copy is in.
func NewMovedAway(id string) *message.Message { return newMark(id, moveLeave) }

// NewMovedHere makes the mark that says, to those who begin to read long after, that
// a log has been arrived at; and how far what is published to the one before it
// was copied.
func NewMovedHere(id string, upTo Origin) *message.Message {
	m := newMark(id, moveHere)
	m.Metadata[originKey] = upTo.String()
	return m
}

// NewProbe makes an entry that is nobody's message: whoever reads it passes over
// it, those who do not know probes as well. A Bridge copies it like all else, so
// its copy, known by the id, shows that one ran after it was published.
func NewProbe(id string) *message.Message { return newMark(id, moveProbe) }

func newMark(id, kind string) *message.Message {
	m := message.NewMessage(id, nil)
	m.Metadata[moveKey] = kind
	return m
}
