package transport

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
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
)

// maxPlaces is how many logs back a copy names its places.
const maxPlaces = 4

// An Origin says where a copy comes from.
type Origin struct {
	Places []domain.Place // in the log it was copied from, then in the one before that; 1 to 4
	Time   time.Time      // when the first of the logs took it; zero if nobody knows
	Late   bool           // copied after the move
}

// OriginOf is the origin of a copy of e, which was read from the log.
func OriginOf(e *domain.Entry, log domain.LogID, late bool) Origin {
	o := Origin{Places: []domain.Place{{Log: log, Position: e.Position}}, Time: e.Time, Late: late}
	if !e.Late {
		o.Places = append(o.Places, e.Also[:min(len(e.Also), maxPlaces-1)]...)
	}
	return o
}

// String is what ParseOrigin reads: milliseconds, and hexadecimal places behind
// them, as in "1732547000123 00c0ffee:0a1b 0badcafe:2c"; "late" at the end.
func (o Origin) String() string {
	b := strconv.AppendInt(nil, unixMilli(o.Time), 10)
	for _, p := range o.Places {
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
	if err != nil || ms < 0 || len(words) < 2 || len(words) > 1+maxPlaces {
		return Origin{}, errOrigin
	}
	if ms > 0 {
		o.Time = time.UnixMilli(ms).UTC()
	}
	for _, word := range words[1:] {
		log, at, _ := strings.Cut(word, ":")
		id, err := strconv.ParseUint(log, 16, 64)
		position, bad := hex.DecodeString(at)
		if err != nil || bad != nil || id == 0 || len(position) == 0 || len(position) > domain.MaxPosition {
			return Origin{}, errOrigin
		}
		o.Places = append(o.Places, domain.Place{Log: domain.LogID(id), Position: domain.Position(position)})
	}
	return o, nil
}

var errOrigin = fmt.Errorf("%w: not the origin of a copy", domain.ErrInvalid)

// NewCopy makes the copy of a record, to be published on another bus. It shares
// the entry's memory.
func NewCopy(e *domain.Entry, from Origin) *message.Message {
	m := message.NewMessage(e.UUID, e.Body)
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	switch e.Kind {
	case domain.Leave, domain.Arrive:
		m.Metadata[moveKey] = moveLeave
	case domain.Break:
		m.Metadata[moveKey] = moveGap
	}
	m.Metadata[originKey] = from.String()
	return m
}

// NewLeave makes the mark that ends a log: whoever is set up to follow goes on
// in the log that its copy is in.
func NewLeave(id string) *message.Message { return newMark(id, moveLeave) }

// NewHere makes the mark that says that a log has been arrived at, for those
// who begin to read long after.
func NewHere(id string) *message.Message { return newMark(id, moveHere) }

func newMark(id, kind string) *message.Message {
	m := message.NewMessage(id, nil)
	m.Metadata[moveKey] = kind
	return m
}

// originals tells copies from what was published, and finds what was copied
// twice: of one log's entries the copies come in its order, so who has seen a
// copy has seen those of all entries before it. It belongs to one reader.
type originals struct {
	seen []domain.Place // the latest of each log
}

// maxOriginals is of how many logs copies can be told apart.
const maxOriginals = 64

// reveal reads what the metadata of a batch's records say of moves. What was
// copied before becomes a Note.
func (o *originals) reveal(batch []domain.Entry, log domain.LogID) {
	for i := range batch {
		if e := &batch[i]; e.Kind == domain.Record && len(e.Header) > 0 {
			o.read(e, log)
		}
	}
}

func (o *originals) read(e *domain.Entry, log domain.LogID) {
	move, marked := cut(e, moveKey)
	text, copied := cut(e, originKey)
	from, err := Origin{}, error(nil)
	if copied {
		from, err = ParseOrigin(text)
	}
	switch {
	case err != nil: // whoever made it up: a message without a past
	case copied && !o.advance(from.Places):
		e.Kind = domain.Note
		return
	case copied:
		e.Also, e.Late = from.Places, from.Late
		if !from.Time.IsZero() {
			e.Time = from.Time
		}
	}
	switch {
	case !marked:
	case move == moveLeave && e.Also == nil:
		e.Kind = domain.Leave
	case move == moveLeave:
		e.Kind, e.Log, e.Until = domain.Arrive, log, e.Position
	case move == moveGap && e.Also != nil:
		e.Kind, e.Reason, e.Log = domain.Break, domain.Lossy, log
	default:
		e.Kind = domain.Note
	}
}

// advance notes the places of a copy, and says whether it is the first one.
func (o *originals) advance(places []domain.Place) (fresh bool) {
	fresh = true
	for _, p := range places {
		i := slices.IndexFunc(o.seen, func(s domain.Place) bool { return s.Log == p.Log })
		switch {
		case i < 0 && len(o.seen) < maxOriginals:
			o.seen = append(o.seen, p)
		case i >= 0 && p.Position <= o.seen[i].Position:
			fresh = false
		case i >= 0:
			o.seen[i].Position = p.Position
		}
	}
	return fresh
}

// cut takes a field out of the entry's header. The header may share memory with
// others' only behind its length.
func cut(e *domain.Entry, name string) (value string, found bool) {
	i := slices.IndexFunc(e.Header, func(f domain.Field) bool { return f.Name == name })
	if i < 0 {
		return "", false
	}
	value = e.Header[i].Value
	e.Header = slices.Delete(slices.Clone(e.Header), i, i+1)
	return value, true
}
