package provenance

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// MaxLogs is of how many logs one reader can tell copies apart.
const MaxLogs = 64

// A Reader reads the provenance of what one reader of a log reads, from the
// beginning of its reading on. The copies of one log's entries come in that log's
// order, and each names the one before it; so the Reader finds out what was copied
// twice, and what is missing. It belongs to one goroutine.
type Reader struct {
	latest []domain.Location // of the latest copy from each log
}

// Read turns the provenance of a batch's records into fields of the entries. What
// was copied before becomes a Control; before a copy whose predecessor is missing
// comes a Gap, with the Origins of that copy. The batch was read from the log,
// where it follows the position before. Read works in the batch's memory as long
// as there are no gaps.
func (r *Reader) Read(
	batch []domain.Entry, log domain.LogID, before domain.Position,
) []domain.Entry {
	first := 0
	for first < len(batch) && len(batch[first].Header) == 0 {
		first++
	}
	if first == len(batch) {
		return batch
	}
	kept := batch[:first]
	for i := first; i < len(batch); i++ {
		e := batch[i]
		if i > 0 {
			before = batch[i-1].Position
		}
		if e.Kind == domain.Record && len(e.Header) > 0 && r.readOne(&e, log) {
			gap := domain.Entry{
				Kind: domain.Gap, Position: before, Time: e.Time, Log: log,
				Reason: domain.Lossy, Origins: e.Origins,
			}
			kept = append(slices.Clone(kept), gap) // a copy: batch has no room for one more
		}
		kept = append(kept, e)
	}
	return kept
}

// readOne reads the provenance of one record, and says whether a copy before it is
// missing.
func (r *Reader) readOne(e *domain.Entry, log domain.LogID) (missing bool) {
	move, marked := cutField(e, moveKey)
	text, copied := cutField(e, originKey)
	from, err := Origin{}, error(nil)
	if copied {
		from, err = ParseOrigin(text)
	}
	switch {
	case err != nil: // somebody made it up: it is a message that was not copied
	case marked && move == moveHere:
		e.Kind, e.Origins, e.Late = domain.Control, from.Locations, true
		return false
	case copied:
		var again bool
		missing, again = r.advance(&from)
		e.Origins, e.Late = from.Locations, from.Late
		if !from.Time.IsZero() {
			e.Time = from.Time
		}
		if again {
			e.Kind = domain.Control
			return false
		}
	}
	switch {
	case !marked:
	case move == moveAway && e.Origins == nil:
		e.Kind = domain.MovedAway
	case move == moveAway:
		e.Kind, e.Log, e.Tail = domain.MovedHere, log, e.Position
	case move == moveGap && e.Origins != nil:
		e.Kind, e.Reason, e.Log = domain.Gap, domain.Lossy, log
		missing = false // this gap covers what is missing before it
	default:
		e.Kind = domain.Control
	}
	return missing
}

// advance takes note of the locations of a copy. Missing says that what was copied
// before it has not come. Again says that the copy itself has come before; then
// its locations become those of the latest copy.
func (r *Reader) advance(from *Origin) (missing, again bool) {
	for k, p := range from.Locations {
		i := slices.IndexFunc(r.latest, func(l domain.Location) bool { return l.Log == p.Log })
		switch {
		case i < 0 && len(r.latest) < MaxLogs:
			r.latest = append(r.latest, p)
		case i < 0:
		case p.Position <= r.latest[i].Position:
			again, from.Locations[k].Position = true, r.latest[i].Position
		default:
			missing = missing || k == 0 && (from.After == "" || from.After > r.latest[i].Position)
			r.latest[i].Position = p.Position
		}
	}
	return missing, again
}

// cutField takes a field out of the entry's header.
func cutField(e *domain.Entry, name string) (value string, found bool) {
	i := slices.IndexFunc(e.Header, func(f domain.Field) bool { return f.Name == name })
	if i < 0 {
		return "", false
	}
	value = e.Header[i].Value
	e.Header = slices.Delete(slices.Clone(e.Header), i, i+1) // a copy: drivers may share headers
	return value, true
}
