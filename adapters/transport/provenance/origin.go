package provenance

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// MaxLocations is the most logs in which a copy names its location.
const MaxLocations = 4

// An Origin says where a copy comes from.
type Origin struct {
	// Locations are where the original is: in the log that it was copied from,
	// then in the log that this one was copied from, and so on; 1 to MaxLocations.
	Locations []domain.Location
	// After is the position, in the first of these logs, of what was copied before
	// this; "" if nothing was.
	After domain.Position
	// Time is when the original was published; zero if nobody knows.
	Time time.Time
	// Late says that it was copied after the bus was moved.
	Late bool
}

// OriginOf returns the origin of a copy of e, which was read from the log, where it
// follows the position after.
func OriginOf(e *domain.Entry, log domain.LogID, after domain.Position, late bool) Origin {
	o := Origin{
		Locations: []domain.Location{{Log: log, Position: e.Position}},
		After:     after, Time: e.Time, Late: late,
	}
	if !e.Late {
		o.Locations = append(o.Locations, e.Origins[:min(len(e.Origins), MaxLocations-1)]...)
	}
	return o
}

// String writes an origin as [ParseOrigin] reads it: milliseconds of Unix time or
// 0, After or "-", and the locations, as in
// "1732547000123 0a1a c0ffee:0a1b badcafe:2c"; with " late" at the end if it is.
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

var errOrigin = fmt.Errorf("%w: not the origin of a copy", domain.ErrInvalid)

// ParseOrigin reads what [Origin.String] writes. Any input is safe; an error wraps
// [domain.ErrInvalid].
func ParseOrigin(text string) (Origin, error) {
	var o Origin
	text, o.Late = strings.CutSuffix(text, " late")
	words := strings.Split(text, " ")
	ms, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil || ms < 0 || len(words) < 3 || len(words) > 2+MaxLocations {
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
		location := domain.Location{Log: domain.LogID(id), Position: position}
		o.Locations = append(o.Locations, location)
	}
	return o, nil
}

func parsePosition(text string) (domain.Position, bool) {
	p, err := hex.DecodeString(text)
	return domain.Position(p), err == nil && len(p) > 0 && len(p) <= domain.MaxPosition
}
