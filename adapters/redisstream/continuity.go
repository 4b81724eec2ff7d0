package redisstream

import (
	"fmt"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// unknownOrdinal stands for an ordinal that is not known. Any negative number does.
const unknownOrdinal = -1

// A progress says how far a feed has read its stream.
type progress struct {
	// last is the id of the last entry that was read. The zero id stands before
	// all entries.
	last id
	// ordinal is how many entries had been added to the stream up to and including
	// last. It is negative if not known, and a bit too low if others have used XDEL.
	ordinal int64
}

// advance moves the progress on by a read of got entries that ends at last.
func (p *progress) advance(last id, got int) {
	if got == 0 {
		return
	}
	p.last = last
	if p.ordinal >= 0 {
		p.ordinal += int64(got)
	}
}

// isProven reports whether a read of got entries after p is proven without the
// stream's info. That is so if the entry p.last still exists. But if nothing was
// read and the ordinal is not known, the info is asked for all the same, to learn
// the ordinal.
func (p *progress) isProven(exists bool, got int) bool {
	return exists && (got > 0 || p.ordinal >= 0)
}

// verify proves a read of got entries after p by the stream's info, which was asked
// for after the read, and learns the ordinal if it can.
func (p *progress) verify(info streamInfo, exists bool, got int) error {
	if !exists {
		if err := info.prove(*p, got); err != nil {
			return err
		}
	}
	if got == 0 && info.lastGenerated == p.last {
		p.ordinal = info.entriesAdded
	}
	return nil
}

// prove returns nil if a feed that had read up to p, and has just read got entries
// more, has not missed any. Otherwise it returns a GapError.
//
// prove is needed only where the simplest proof fails, which is that the entry
// p.last still exists: that entry shows that the stream is the one that was read
// before. And trimming removes the oldest entries first; so while an entry at or
// before p.last exists, none after it was trimmed.
//
// Entries that others remove with XDEL are theirs to remove, and are no gap. But
// they must not make a proof wrong.
//
// First, the stream must be the same one as before:
//
//   - It ends at p.last or later. Ids only grow, so a stream that ends before
//     p.last was created after p.last was read.
//   - At least as many entries were added to it as the feed knows of. The counter
//     only grows, and a stream that is created anew counts from 0.
//
// Second, no entry between p.last and the entries just read may have been trimmed.
// That is so in each of these cases:
//
//   - p.last is the highest id that the stream ever had. Nothing is behind it.
//   - An entry before p.last exists, and p.last was removed by XDEL, which is only
//     possible in a stream that had p.last.
//   - Exactly p.ordinal entries are gone. The entries up to p.last, of which there
//     were p.ordinal, are all gone; so no other entry is. If XDEL has removed
//     entries after p.last, more are gone, and the proof fails. The feed then
//     reports a gap that there was not; that is the safe side.
//
// What is added or removed between the read and the moment of the info can make a
// proof fail. It cannot make a wrong proof succeed, because counters, ids and the
// number of entries that are gone only grow. One case remains undetected: the
// stream is created anew between two checks, has more entries added than the feed
// knows of, and has lost exactly p.ordinal of them.
func (s streamInfo) prove(p progress, got int) error {
	switch {
	case !s.exists && p.last == id{} && got == 0:
		return nil
	case !s.exists:
		return gapError(domain.UnknownCursor, "the stream is gone, and with it what followed %v", p.last)
	case s.lastGenerated.less(p.last):
		return gapError(domain.UnknownCursor, "the stream began anew: it ends at %v, before %v",
			s.lastGenerated, p.last)
	case p.ordinal >= 0 && s.entriesAdded < p.ordinal+int64(got):
		return gapError(domain.UnknownCursor,
			"the stream began anew: it has had %d entries, fewer than there were up to %v",
			s.entriesAdded, p.last)
	case s.lastGenerated == p.last:
		return nil
	case s.length > 0 && !p.last.less(s.firstEntry):
		if !s.maxDeleted.less(p.last) {
			return nil
		}
		return gapError(domain.UnknownCursor, "the stream never held %v", p.last)
	case p.ordinal >= 0 && s.entriesAdded-s.length == p.ordinal:
		return nil
	case s.entriesAdded == s.length:
		return gapError(domain.UnknownCursor, "the stream began anew after %v", p.last)
	}
	return gapError(domain.Trimmed, "the stream was trimmed: it begins at %v, after %v",
		s.firstEntry, p.last)
}

func gapError(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
