package redisstream

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func reason(err error) domain.GapReason {
	var lost *transport.GapError
	if errors.As(err, &lost) {
		return lost.Reason
	}
	return ""
}

func TestProve(t *testing.T) {
	at := func(ms uint64) id { return id{ms, 0} }
	for name, c := range map[string]struct {
		s    streamInfo
		p    progress
		got  int
		want domain.GapReason
	}{
		"no stream, nothing read":     {streamInfo{}, progress{}, 0, ""},
		"no stream, something read":   {streamInfo{}, progress{}, 1, domain.UnknownCursor},
		"the stream is gone":          {streamInfo{}, progress{at(5), 5}, 0, domain.UnknownCursor},
		"at the end":                  {streamInfo{true, 0, 5, at(5), id{}, id{}}, progress{at(5), -1}, 0, ""},
		"beyond the end":              {streamInfo{true, 1, 1, at(4), at(4), id{}}, progress{at(5), -1}, 0, domain.UnknownCursor},
		"too few added":               {streamInfo{true, 1, 1, at(9), at(9), id{}}, progress{at(5), 5}, 1, domain.UnknownCursor},
		"anew, and as many trimmed":   {streamInfo{true, 1, 6, at(9), at(9), id{}}, progress{at(5), 5}, 2, domain.UnknownCursor},
		"trimmed up to us":            {streamInfo{true, 2, 7, at(7), at(6), id{}}, progress{at(5), 5}, 2, ""},
		"trimmed up to us, unknown":   {streamInfo{true, 2, 7, at(7), at(6), id{}}, progress{at(5), -1}, 2, domain.Trimmed},
		"trimmed past us":             {streamInfo{true, 1, 7, at(7), at(7), id{}}, progress{at(5), 5}, 1, domain.Trimmed},
		"we went by XDEL":             {streamInfo{true, 6, 7, at(7), at(1), at(5)}, progress{at(5), -1}, 2, ""},
		"older ones are left, not us": {streamInfo{true, 2, 2, at(7), at(1), id{}}, progress{at(5), -1}, 1, domain.UnknownCursor},
		"anew, nothing trimmed":       {streamInfo{true, 9, 9, at(9), at(6), id{}}, progress{at(5), -1}, 1, domain.UnknownCursor},
		"from the very beginning":     {streamInfo{true, 2, 2, at(7), at(6), id{}}, progress{id{}, 0}, 2, ""},
		"the beginning was trimmed":   {streamInfo{true, 1, 2, at(7), at(7), id{}}, progress{id{}, 0}, 1, domain.Trimmed},
		"all is trimmed, past us":     {streamInfo{true, 0, 7, at(7), id{}, id{}}, progress{at(5), 5}, 0, domain.Trimmed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reason(c.s.prove(c.p, c.got)); got != c.want {
				t.Errorf("got %q, want %q: %v", got, c.want, c.s.prove(c.p, c.got))
			}
		})
	}
}

// A model of a stream, to which entries are added, trimmed and deleted at random. A
// proof must never succeed when a reader has missed an entry that was trimmed. An entry
// that was deleted with XDEL may be missed.
func TestAProofIsNeverWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type entry struct{ id, number uint64 }
		var held []entry
		var s streamInfo
		var next uint64 // the id's milliseconds
		s.exists = true
		p := progress{}    // how far the reader has read
		trimmed := id{}    // the highest id that was trimmed
		deletedBehind := 0 // deleted unread
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				next++
				s.entriesAdded++
				s.lastGenerated = id{next, 0}
				held = append(held, entry{next, uint64(s.entriesAdded)})
			case 2:
				n := rapid.IntRange(0, len(held)).Draw(t, "trim")
				if n > 0 {
					trimmed = id{held[n-1].id, 0}
				}
				held = held[n:]
			case 3:
				if len(held) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "delete")
				gone := id{held[i].id, 0}
				if s.maxDeleted.less(gone) {
					s.maxDeleted = gone
				}
				if p.last.less(gone) {
					deletedBehind++
				}
				held = append(held[:i:i], held[i+1:]...)
			case 4: // the reader reads all there is
				got, present := 0, false
				for _, e := range held {
					if p.last.less(id{e.id, 0}) {
						got++
					}
					present = present || p.last == id{e.id, 0}
				}
				s.length, s.firstEntry = int64(len(held)), id{}
				if len(held) > 0 {
					s.firstEntry = id{held[0].id, 0}
				}
				missed := p.last.less(trimmed)
				err := s.prove(p, got)
				if present {
					err = nil
				}
				if err == nil && missed {
					t.Fatalf("proven, but %v was trimmed after %v: %+v", trimmed, p, s)
				}
				if err != nil && !missed && deletedBehind == 0 && p.ordinal >= 0 {
					t.Fatalf("not proven without need: %v: %+v at %+v", err, s, p)
				}
				if err != nil {
					p = progress{s.lastGenerated, s.entriesAdded} // as Follow does
				} else if len(held) > 0 && p.last.less(id{held[len(held)-1].id, 0}) {
					p = progress{id{held[len(held)-1].id, 0}, p.ordinal + int64(got)}
				}
				if p.last == s.lastGenerated {
					deletedBehind = 0
					p.ordinal = s.entriesAdded // as an idle feed does
				}
			}
		}
	})
}
