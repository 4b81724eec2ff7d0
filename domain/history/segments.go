package history

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// Segments say in which logs the window's entries have positions. All entries
// of a segment have positions in the same logs, and these ascend as the
// entries' numbers do.
type segments []segment

type segment struct {
	from uint64         // number of its first entry; it ends where the next segment begins
	logs []domain.LogID // the log itself, then those that its entries were copied from
}

// push adds entry n, the newest.
func (s *segments) push(n uint64, p *Point) {
	if last := len(*s) - 1; last < 0 || !(*s)[last].holds(p) {
		*s = append(*s, segment{n, logsOf(p)})
	}
}

// trim forgets the segments of which no entry is left.
func (s *segments) trim(start uint64) {
	for len(*s) > 1 && (*s)[1].from <= start {
		*s = (*s)[1:]
	}
}

// of returns the newest run of entries that have positions in the log, if
// there are any: those with from <= number < to. The newest entry in the window
// is the one before end.
func (s segments) of(log domain.LogID, end uint64) (from, to uint64, found bool) {
	to = end
	for i := len(s) - 1; i >= 0; i-- {
		switch has := slices.Contains(s[i].logs, log); {
		case has:
			from, found = s[i].from, true
		case found:
			return from, to, true
		default:
			to = s[i].from
		}
	}
	return from, to, found
}

// size is what they take.
func (s segments) size() int { return 48 * cap(s) }

func logsOf(p *Point) []domain.LogID {
	all := make([]domain.LogID, 0, 1+len(p.Origins))
	all = append(all, p.Log)
	for _, o := range p.Origins {
		all = append(all, o.Log)
	}
	return all
}

// holds reports whether an entry at the point has positions in the segment's
// logs, and in no others.
func (s *segment) holds(p *Point) bool {
	if len(s.logs) != 1+len(p.Origins) || s.logs[0] != p.Log {
		return false
	}
	for i, o := range p.Origins {
		if s.logs[i+1] != o.Log {
			return false
		}
	}
	return true
}
