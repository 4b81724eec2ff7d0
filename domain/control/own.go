package control

import (
	"math"
	"strconv"
	"time"
)

// ownRows are what this node has to say of its rows. What it has said is what takeDirty
// has returned; for a row that is not dirty that is its number.
type ownRows struct {
	dirty  map[uint32]unsaid // by seat
	queue  []queued          // of dirty seats, oldest first; those of other turns are void
	turn   uint64
	cursor uint32 // the next seat of the snapshot that is sent

	seq      uint64 // of the cause of the newest change
	seqSince time.Duration
}

// An unsaid is a seat whose own row is dirty.
type unsaid struct {
	said  uint32 // what was said last; 0 also where nothing was
	again bool   // what was said last may not have been heard
	turn  uint64
}

type queued struct {
	seat uint32
	turn uint64
}

// add changes an own row. It does nothing for a system without presence.
func (p *presence) add(now Now, at Place, user string, delta int, c cause) {
	if p.cfg.Presence == nil || !p.cfg.Presence(at.System) || !fits(at, user) {
		return
	}
	id, ok := p.findSeat(at, user)
	if !ok {
		if delta <= 0 {
			return
		}
		id = p.newSeat(at, user)
	}
	s := p.seats.at(id)
	var have uint32
	if n := p.row(s, 0); n != nil {
		have = *n
	}
	n := uint32(min(max(int64(have)+int64(delta), 0), math.MaxInt32))
	if n == have {
		p.release(id)
		return
	}
	before := p.sessions(s)
	p.setOwn(id, have, n)
	p.settle(now, id, before, p.own.told(now, c, p.cfg.Grace))
}

// told makes causes differ that have the same message, since that could not be published
// for long. Otherwise a user who came twice meanwhile would come twice with the same id,
// and whoever knows the first would ignore the second. Between two such events there is
// at least one grace.
func (o *ownRows) told(now Now, c cause, grace time.Duration) cause {
	if c.seq != o.seq {
		o.seq, o.seqSince = c.seq, now.Mono
	}
	if n := (now.Mono - o.seqSince) / max(grace, time.Millisecond); n > 0 {
		c.inc += "/" + strconv.Itoa(int(n))
	}
	return c
}

// setOwn sets the own row of a seat, and makes it dirty. A row that is gone before
// anybody has heard of it need not be said.
func (p *presence) setOwn(id uint32, have, n uint32) {
	s := p.seats.at(id)
	switch {
	case have == 0:
		p.ownNumber++
	case n == 0:
		p.ownNumber--
	}
	if own := p.row(s, 0); own != nil {
		*own = n
	} else {
		p.addRow(s, 0, n)
	}
	d := p.soil(id, have)
	if n == 0 && d.said == 0 && !d.again {
		p.own.clean(id)
		p.cutRow(s, 0)
	}
}

// soil makes the own row of a seat dirty, if it is not.
func (p *presence) soil(id uint32, said uint32) unsaid {
	d, ok := p.own.dirty[id]
	if !ok {
		p.own.turn++
		d = unsaid{said: said, turn: p.own.turn}
		p.own.dirty[id] = d
		p.own.queue = append(p.own.queue, queued{id, d.turn})
	}
	return d
}

// clean takes a seat out of what is dirty. Its entry of the queue is void then; when
// most of them are, they are thrown away.
func (o *ownRows) clean(id uint32) {
	delete(o.dirty, id)
	if len(o.dirty) == 0 {
		o.dirty, o.queue = map[uint32]unsaid{}, nil // give their memory back
		return
	}
	if len(o.queue) <= 2*len(o.dirty)+minSlots {
		return
	}
	kept := make([]queued, 0, len(o.dirty))
	for _, q := range o.queue {
		if o.isDirty(q) {
			kept = append(kept, q)
		}
	}
	o.queue = kept
}

func (o *ownRows) isDirty(q queued) bool {
	d, ok := o.dirty[q.seat]
	return ok && d.turn == q.turn
}

func (p *presence) dirty() bool { return len(p.own.dirty) > 0 }

// takeDirty returns own rows that have to be said, with their numbers as of now, at most
// size bytes of JSON, brackets and commas counted.
func (p *presence) takeDirty(size int) (rows []row) {
	for len(p.own.queue) > 0 {
		q := p.own.queue[0]
		if p.own.isDirty(q) {
			r := p.rowOf(q.seat, *p.row(p.seats.at(q.seat), 0))
			if size -= wireSize(r); size < 0 {
				break
			}
			rows = append(rows, r)
			p.own.queue = p.own.queue[1:]
			p.say(q.seat, uint32(r.n))
			continue
		}
		p.own.queue = p.own.queue[1:]
	}
	return rows
}

// say makes n what was said of the own row of a seat.
func (p *presence) say(id uint32, n uint32) {
	s, t := p.seats.at(id), p.tally(0)
	if said := p.own.dirty[id].said; said > 0 {
		t.cut(p.hash(s, said))
	}
	p.own.clean(id)
	if n > 0 {
		t.add(p.hash(s, n))
		return
	}
	p.cutRow(s, 0)
	p.release(id)
}

// markDirty makes that rows of takeDirty are said again.
func (p *presence) markDirty(rows []row) {
	for _, r := range rows {
		if !fits(r.place, r.user) {
			continue
		}
		id, ok := p.findSeat(r.place, r.user)
		if !ok {
			id = p.newSeat(r.place, r.user)
		}
		s := p.seats.at(id)
		var n uint32
		if own := p.row(s, 0); own != nil {
			n = *own
		} else {
			p.addRow(s, 0, 0)
		}
		d := p.soil(id, n)
		d.again = true
		p.own.dirty[id] = d
	}
}

// startOwn begins a snapshot of the own rows.
func (p *presence) startOwn() { p.own.cursor = 0 }

// nextOwn returns the next part of the snapshot, at most size bytes. A snapshot is of
// what was said: what is dirty follows as a delta, so that a receiver that has the parts
// and the deltas between them has what digest tells. Last may come with no rows.
func (p *presence) nextOwn(size int) (rows []row, last bool) {
	for ; p.own.cursor < p.seats.end; p.own.cursor++ {
		id := p.own.cursor
		own := p.row(p.seats.at(id), 0)
		if own == nil {
			continue
		}
		said := *own
		if d, ok := p.own.dirty[id]; ok {
			said = d.said
		}
		if said == 0 {
			continue
		}
		r := p.rowOf(id, said)
		if size -= wireSize(r); size < 0 {
			return rows, false
		}
		rows = append(rows, r)
	}
	return rows, true
}

func (p *presence) rowOf(id uint32, n uint32) row {
	s := p.seats.at(id)
	return row{p.dir.places.at(s.place).Place, string(p.dir.name(s.user)), int(n)}
}

// wireSize is how many bytes a row takes in JSON at most, with the comma after it.
func wireSize(r row) int {
	const fixed = len(`["","","",],`)
	return fixed + textSize(r.place.System.String()) + textSize(r.place.Room) + textSize(r.user) +
		len(strconv.Itoa(r.n))
}

// textSize is the size of a text in JSON at most: whatever may be escaped is.
func textSize(text string) (size int) {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			size += len(`\u0000`)
		default:
			size++
		}
	}
	return size
}
