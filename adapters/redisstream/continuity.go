package redisstream

import (
	"fmt"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A streamInfo is what XINFO STREAM says of a stream at one moment. The zero streamInfo
// is that of a stream that does not exist.
type streamInfo struct {
	exists        bool
	length        int64 // entries there are
	entriesAdded  int64 // entries ever added
	lastGenerated id    // the highest id ever given
	firstEntry    id    // the lowest id there is
	maxDeleted    id    // the highest id ever removed by XDEL; trimming leaves it alone
}

// A progress is where a reader stands in a stream: behind the entry at, which is
// the ordinal'th that was ever added.
type progress struct {
	last    id
	ordinal int64 // unknown if negative; a bit too low where others used XDEL
}

// advance moves the reader behind what it has received.
func (p *progress) advance(last id, got int) {
	if got == 0 {
		return
	}
	p.last = last
	if p.ordinal >= 0 {
		p.ordinal += int64(got)
	}
}

// isProven says whether a read of got entries behind p needs no look at the
// stream's state; present says that the entry at p is still there. A read of
// nothing is the time to learn the ordinal.
func (p *progress) isProven(present bool, got int) bool {
	return present && (got > 0 || p.ordinal >= 0)
}

// verify proves a read of got entries behind p by the stream's state, which was
// looked at after the read, and learns the ordinal if it can.
func (p *progress) verify(s streamInfo, present bool, got int) error {
	if !present {
		if err := s.prove(*p, got); err != nil {
			return err
		}
	}
	if got == 0 && s.lastGenerated == p.last {
		p.ordinal = s.entriesAdded
	}
	return nil
}

// prove says whether a reader at p, who just received got entries after p, has
// them all; nil if so. It is asked where the simplest proof fails: that the
// entry at p still exists. (Trimming takes the oldest entries first. So as
// long as any entry at or before p is left, none after p was trimmed; and if
// p itself is there, the stream is the one that p was read from.)
//
// What others remove from the middle with XDEL is theirs to remove: it is no
// gap. But it must not lead the proof astray.
//
// The stream must be the same one:
//
//   - It ends at p or later: ids only grow, so a stream that ends before p was
//     created after p was read.
//   - It has had as many entries as we know of: the counter only grows. A
//     stream that was created anew counts from 0.
//
// Nothing between p and what was received may have been trimmed:
//
//   - p is the highest id ever given: there is nothing behind it.
//   - An entry before p is left, and p went by XDEL, which only a stream that
//     held p can know.
//   - As many entries are gone as there were up to p. Gone are at least those
//     up to p, since none of them is left; so no other is. Where XDEL removed
//     some behind p, more are gone than that, and nothing is proven: rather a
//     gap too many.
//
// What comes in or goes between the read and this look can spoil a proof, but
// never make one: counters and ids only grow, and so does what is gone. The
// one thing that passes unseen is a stream created anew that, between two
// looks, has had more entries than we know of and lost exactly as many as
// there were up to p.
func (s streamInfo) prove(p progress, got int) error {
	switch {
	case !s.exists && p.last == id{} && got == 0:
		return nil
	case !s.exists:
		return gapError(domain.UnknownCursor, "the stream is gone, and with it what followed %v", p.last)
	case s.lastGenerated.less(p.last):
		return gapError(domain.UnknownCursor, "the stream began anew: it ends at %v, before %v", s.lastGenerated, p.last)
	case p.ordinal >= 0 && s.entriesAdded < p.ordinal+int64(got):
		return gapError(domain.UnknownCursor, "the stream began anew: it has had %d entries, fewer than there were up to %v", s.entriesAdded, p.last)
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
	return gapError(domain.Trimmed, "the stream was trimmed: it begins at %v, after %v", s.firstEntry, p.last)
}

func gapError(reason domain.GapReason, format string, args ...any) error {
	return &transport.GapError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

const noSuchKey = redisconn.Error("ERR no such key")

// readInfo reads the answer to XINFO STREAM.
func readInfo(c *redisconn.Conn) (streamInfo, error) {
	n, err := c.Array()
	if err == noSuchKey {
		return streamInfo{}, nil
	}
	if err != nil {
		return streamInfo{}, err
	}
	s := streamInfo{exists: true, entriesAdded: -1}
	for range n / 2 {
		name, err := c.Text()
		if err == nil {
			err = s.readField(c, name)
		}
		if err != nil {
			return streamInfo{}, err
		}
	}
	if s.entriesAdded < 0 {
		return streamInfo{}, fmt.Errorf("%w: the server does not count entries: Redis 7.0 or newer is needed", domain.ErrUnsupported)
	}
	return s, nil
}

func (s *streamInfo) readField(c *redisconn.Conn, name string) error {
	switch name {
	case "length":
		return c.Int(&s.length)
	case "entries-added":
		return c.Int(&s.entriesAdded)
	case "last-generated-id":
		return readID(c, &s.lastGenerated)
	case "recorded-first-entry-id":
		return readID(c, &s.firstEntry)
	case "max-deleted-entry-id":
		return readID(c, &s.maxDeleted)
	}
	return c.Skip()
}

func readID(c *redisconn.Conn, into *id) error {
	text, err := c.Text()
	if err == nil {
		*into, err = parseID([]byte(text))
	}
	return err
}
