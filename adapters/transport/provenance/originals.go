package provenance

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// Originals tells copies from what was published. Of one log's entries the
// copies come in its order, and each names the one before it. So it finds what
// was copied twice, and what is missing. It belongs to one reader.
type Originals struct {
	seen []domain.Location // the latest of each log
}

// MaxOriginals is of how many logs copies can be told apart.
const MaxOriginals = 64

// Reveal reads what the metadata of a batch's records say of moves. What was
// copied before becomes a Note; before a copy whose predecessor is missing comes
// a Gap, whose Origins is that copy's. The batch was read behind before. It works
// in the batch's memory as long as there are no breaks.
func (o *Originals) Reveal(batch []domain.Entry, log domain.LogID, before domain.Position) []domain.Entry {
	first := slices.IndexFunc(batch, func(e domain.Entry) bool { return len(e.Header) > 0 })
	if first < 0 {
		return batch
	}
	kept := batch[:first]
	for i := first; i < len(batch); i++ {
		e := batch[i]
		if i > 0 {
			before = batch[i-1].Position
		}
		if missing := e.Kind == domain.Record && len(e.Header) > 0 && o.read(&e, log); missing {
			lost := domain.Entry{Kind: domain.Gap, Position: before, Time: e.Time, Log: log, Reason: domain.Lossy, Origins: e.Origins}
			kept = append(slices.Clone(kept), lost) // a copy: there is no room for one more in batch
		}
		kept = append(kept, e)
	}
	return kept
}

// read reveals one record, and says whether a copy before it is missing.
func (o *Originals) read(e *domain.Entry, log domain.LogID) (missing bool) {
	move, marked := cut(e, moveKey)
	text, copied := cut(e, originKey)
	from, err := Origin{}, error(nil)
	if copied {
		from, err = ParseOrigin(text)
	}
	switch {
	case err != nil: // whoever made it up: a message without a past
	case marked && move == moveHere:
		e.Kind, e.Origins, e.Late = domain.Control, from.Locations, true
		return false
	case copied:
		var again bool
		missing, again = o.advance(&from)
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
	case move == moveLeave && e.Origins == nil:
		e.Kind = domain.MovedAway
	case move == moveLeave:
		e.Kind, e.Log, e.Tail = domain.MovedHere, log, e.Position
	case move == moveGap && e.Origins != nil:
		e.Kind, e.Reason, e.Log = domain.Gap, domain.Lossy, log
		missing = false // it says so itself
	default:
		e.Kind = domain.Control
	}
	return missing
}

// advance notes the places of a copy. Missing: what was copied before it has not
// come. Again: the copy itself has come before; then its places become those of
// the latest.
func (o *Originals) advance(from *Origin) (missing, again bool) {
	for k, p := range from.Locations {
		i := slices.IndexFunc(o.seen, func(s domain.Location) bool { return s.Log == p.Log })
		switch {
		case i < 0 && len(o.seen) < MaxOriginals:
			o.seen = append(o.seen, p)
		case i < 0:
		case p.Position <= o.seen[i].Position:
			again, from.Locations[k].Position = true, o.seen[i].Position
		default:
			missing = missing || k == 0 && (from.After == "" || from.After > o.seen[i].Position)
			o.seen[i].Position = p.Position
		}
	}
	return missing, again
}

// cut takes a field out of the entry's header.
func cut(e *domain.Entry, name string) (value string, found bool) {
	i := slices.IndexFunc(e.Header, func(f domain.Field) bool { return f.Name == name })
	if i < 0 {
		return "", false
	}
	value = e.Header[i].Value
	e.Header = slices.Delete(slices.Clone(e.Header), i, i+1) // drivers may lend it
	return value, true
}
