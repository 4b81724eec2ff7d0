package control

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// note writes a transition into the journal, if events are made for its place.
func (p *presence) note(now Now, kind EventType, s *seat, c cause) {
	at := p.dir.places.at(s.place)
	if !at.events {
		return
	}
	if now.Mono < p.againUntil {
		c = p.again(c)
	}
	t := transition{mono: now.Mono, wall: now.Wall, kind: kind, place: at.Place, cause: c}
	if at.Room == "" {
		t.user = string(p.dir.name(s.user))
	}
	p.journal.add(t, now)
}

// announce makes events that say of everybody who is present, and of every room with
// somebody in it, that it is so. They have ids of their own: whoever listens and knows an
// earlier one must not ignore them.
func (p *presence) announce(now Now, c cause) {
	p.againUntil = now.Mono + p.cfg.DeadAfter
	rooms := make(map[uint32]bool)
	for id := range p.seats.end {
		s := p.seats.at(id)
		switch at := p.dir.places.at(s.place); {
		case p.sessions(s) == 0: // nobody, or a user who may be about to leave
		case at.Room == "":
			p.note(now, Online, s, c)
		case !rooms[s.place]:
			rooms[s.place] = true
			p.note(now, Occupied, s, c)
		}
	}
}

// speak makes this node the speaker, of everything in the journal since a moment of
// Now.Mono, or since the first of its own transitions that came with a later message than
// one that is known to have been heard. It does nothing while the node speaks.
func (p *presence) speak(now Now, since time.Duration, heard uint64) {
	j := &p.journal
	if j.speaking {
		return
	}
	j.trim(now)
	j.speaking = true
	j.next = j.since(since)
	for i := range j.next - j.base {
		if c := j.all[i].cause; c.seq > heard && strings.HasPrefix(c.inc, p.cfg.Incarnation) {
			j.next = j.base + i
			break
		}
	}
	if j.stopped {
		j.next, j.stopped = min(j.next, max(j.resume, j.base)), false
		for i := j.next - j.base; i < len(j.all); i++ {
			j.all[i].cause = p.again(j.all[i].cause)
		}
		p.againUntil = now.Mono + p.cfg.DeadAfter
	}
}

// again returns a cause that no other node has, so that the event that comes of it has an
// id of its own. Who ignores events that came before would else be left with a wrong one:
// of "online", which is news, and "offline", which another speaker has told before it.
func (p *presence) again(c cause) cause {
	c.inc += "+" + p.cfg.Incarnation
	return c
}

// mute makes that another node is the speaker. Stopped says that it is so because this one
// has stood still: what it has not told then, the other one may never have known.
func (p *presence) mute(stopped bool) {
	j := &p.journal
	j.speaking, j.awaited = false, false
	j.stopped, j.resume = stopped, j.next
}

// events returns what the speaker has to publish next; see [Machine.Events].
func (p *presence) events(limit int) (events []Event) {
	j := &p.journal
	if !j.speaking {
		return nil
	}
	j.asked, j.awaited = j.next, true
	for n := j.next; n < j.end() && len(events) < limit; n++ {
		events = append(events, j.all[n-j.base].event())
	}
	return events
}

// spoken says that the first n of what events returned last are on the bus. Only the
// call after events counts, and none after the node became the speaker anew: then the
// events are published again.
func (p *presence) spoken(n int) {
	if j := &p.journal; j.awaited && n >= 0 {
		j.next = min(max(j.next, j.asked+n), j.end())
		j.awaited = false
	}
}

// unspoken returns the age of the oldest event that this node has to publish; 0: none.
func (p *presence) unspoken(now Now) time.Duration {
	j := &p.journal
	if !j.speaking || j.next == j.end() {
		return 0
	}
	return max(now.Mono-j.all[j.next-j.base].mono, 1)
}

func (t *transition) event() Event {
	return Event{ID: t.id(), Type: t.kind, Place: t.place, User: t.user, Time: t.wall}
}

// id is a hash of what happened and of the message that it came with; or of the minute
// in which it happened, if there was no message.
func (t *transition) id() string {
	h := sha256.New()
	write := func(text string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(text))))
		h.Write([]byte(text))
	}
	write(string(t.kind))
	write(t.place.System.String())
	write(t.place.Room)
	write(t.user)
	write(t.cause.inc)
	number := t.cause.seq
	if t.cause.inc == "" {
		number = uint64(t.wall) / uint64(time.Minute.Milliseconds())
	}
	h.Write(binary.AppendUvarint(nil, number))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
