package stream

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Part says which part of a history a [Page] is to have: at most Most messages and
// Bytes of them, for one of the targets, that follow After and come before Before.
type Part struct {
	Targets []domain.Target // none: messages for anybody
	After   domain.Cursor
	Before  domain.Cursor // zero: up to the head
	Most    int
	Bytes   int
	// Newest makes the page keep the newest of these messages, rather than the oldest.
	Newest bool
	// Encoder writes the messages. Those for anybody have no target that matched, and
	// m.To then. It is called as [Encoder] says.
	Encoder Encoder
}

// A Page is a part of a history that somebody has asked for. It is a session that
// resumes at a cursor, is never live, and takes what a page has room for: so a page has
// exactly what a session would have been told.
//
// The owner waits for Done, as long as it likes, and then calls Close.
type Page struct {
	part  Part
	all   bool
	a     *Attachment
	ended chan struct{} // closed when the page will have no more
	over  bool          // likewise; guarded by Stream.mu, as all below

	at      domain.Cursor    // of the message that is being offered
	beyond  bool             // that message is not before Part.Before
	pending domain.GapReason // a gap that was told since the last message
	gapAt   int              // result.Gap lies before that message
	result  PageResult
}

// A PageResult is what is in a [Page].
type PageResult struct {
	Messages [][]byte // as Part.Encoder has made them, oldest first
	Cursors  []domain.Cursor
	// Gap says why some of what lies between Part.After and the last message may be
	// missing; up to Reached, if that is later. It is "" if nothing is missing.
	Gap domain.GapReason
	// Reached is up to where the page has all there is.
	Reached domain.Cursor
	// More reports that the page had no room for a message after the last one; Dropped,
	// that it had none for one before the first, as Part.Newest is set.
	More, Dropped bool
	// Whole reports that the page reaches to Part.Before, or to the head.
	Whole bool

	bytes int
}

// OpenPage begins to read a page, on behalf of the asker. The bus must have confirmed,
// and Part.After must be set.
func (s *Stream) OpenPage(asker Asker, part Part) *Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &Page{part: part, all: len(part.Targets) == 0, ended: make(chan struct{})}
	p.a = &Attachment{stream: s, asker: asker, out: p, enc: p, page: p, next: s.history.Next()}
	p.a.first = p.a.next
	p.result.Reached = part.After
	after := locationOf(part.After)
	if p.all {
		p.a.enter(anybody, 0, after)
	}
	for _, t := range part.Targets {
		p.a.enter(t, 0, after)
	}
	p.a.resume(part.After)
	p.a.fill()
	return p
}

// anybody is the target of a page that has messages for anybody. No message is for it.
var anybody domain.Target

// Done is closed when the page is as long as it gets.
func (p *Page) Done() <-chan struct{} { return p.ended }

// Close ends the page and returns what it has.
func (p *Page) Close() PageResult {
	s := p.a.stream
	s.mu.Lock()
	if !p.over {
		p.result.Reached = p.reached()
		p.over = true
	}
	s.mu.Unlock()
	p.a.Detach()
	return p.result
}

// reached returns up to where a page has all there is that is not done yet.
func (p *Page) reached() domain.Cursor {
	switch r := p.a.ride; {
	case r == nil || !r.boarded || len(r.queue) > 0:
		return p.result.Reached
	case r.on == nil:
		return r.end
	default:
		return (&history.Point{Cursor: r.on.place()}).Clone().Cursor
	}
}

// end ends the page: there is no more, or there is more and no room for it.
func (p *Page) end(more bool) {
	if p.over {
		return
	}
	p.over = true
	p.result.More, p.result.Whole = more, !more
	if !more {
		p.crossGap()
	}
	close(p.ended)
}

// live ends the page because it has come to the head.
func (p *Page) live() {
	if !p.over && !p.beyond {
		p.result.Reached = p.a.stream.history.Head().Clone().Cursor
	}
	p.end(false)
}

// crossGap notes that a gap which was told lies within the page.
func (p *Page) crossGap() {
	if p.pending != "" {
		p.result.Gap, p.gapAt = p.pending, len(p.result.Messages)
		p.pending = ""
	}
}

// isBeyond reports whether a cursor is at or after the one that the page ends before. Within
// a log the positions say so, as an id may have been used before. In another one it has to
// be the very message.
func (p *Page) isBeyond(at domain.Cursor) bool {
	end := &p.part.Before
	if end.Log == at.Log {
		return end.Log != 0 && at.Position >= end.Position
	}
	return end.ID != 0 && at.ID == end.ID
}

// Message is part of [Encoder].
func (p *Page) Message(system domain.System, m *domain.Message, to domain.Target, at domain.Cursor) Frame {
	if p.beyond = p.beyond || p.isBeyond(at); p.over || p.beyond {
		return Frame{Bytes: []byte{}}
	}
	p.at = (&history.Point{Cursor: at}).Clone().Cursor
	return p.part.Encoder.Message(system, m, to, at)
}

// Gap is part of [Encoder]. A page is told no gap, but notes it.
func (p *Page) Gap(_ domain.System, reason domain.GapReason, at domain.Cursor) Frame {
	if p.beyond = p.beyond || p.isBeyond(at); !p.over && !p.beyond && p.pending == "" {
		p.pending = reason
	}
	return Frame{}
}

// Offer is part of [Outbox].
func (p *Page) Offer(f Frame) bool {
	switch r := &p.result; {
	case p.over:
		return false
	case p.beyond:
		p.end(false)
		return false
	case !p.part.Newest && p.isFull(len(f.Bytes)):
		p.end(true)
		return false
	default:
		p.crossGap()
		for p.isFull(len(f.Bytes)) {
			r.bytes -= len(r.Messages[0])
			r.Messages, r.Cursors, r.Dropped = r.Messages[1:], r.Cursors[1:], true
			if p.gapAt--; p.gapAt <= 0 {
				r.Gap = "" // it lies before what is left: the page before this one tells it
			}
		}
		r.Messages, r.Cursors = append(r.Messages, f.Bytes), append(r.Cursors, p.at)
		r.bytes += len(f.Bytes)
		r.Reached = p.at
		return true
	}
}

// isFull reports whether the page has no room for a message of n bytes. It has room for
// one message of any size.
func (p *Page) isFull(n int) bool {
	r := &p.result
	return len(r.Messages) > 0 && (len(r.Messages) == p.part.Most || r.bytes+n > p.part.Bytes)
}

// An Excerpt is what somebody who asked for a part of a history is given.
type Excerpt struct {
	Messages [][]byte // as Part.Encoder has made them, oldest first
	// Next is the cursor to ask with for what comes next in the direction of the question;
	// zero if nothing is left.
	Next domain.Cursor
	// Reason says why something that was asked for is missing, or may be; "" if nothing is.
	Reason domain.GapReason
}
