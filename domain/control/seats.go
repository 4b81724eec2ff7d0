package control

import (
	"hash/maphash"
	"math"
	"time"
)

// presence is who is where: the rows of all sources, and what follows from them. It is
// what the Machine has for Attach, Who, Watch, Events and their like.
//
// Its memory follows the greatest number of rows that it has had, until it has none.
type presence struct {
	cfg     *Config
	dir     directory
	seats   slab[seat]
	bySeat  index
	more    slab[extra]
	tallies map[source]*tally
	graces  graces
	own     ownRows
	watched watches
	journal journal
	// againUntil is until when events have ids of their own, on Now.Mono: this node has just
	// repeated what another speaker may have told otherwise.
	againUntil time.Duration
	drops      drops

	ownNumber, otherRows, stagedRows int // rows
	users                            int // present, in all places together
}

func newPresence(cfg *Config) *presence {
	return &presence{
		cfg:     cfg,
		dir:     directory{seed: maphash.MakeSeed()},
		tallies: map[source]*tally{},
		graces:  graces{bySeat: map[uint32]*grace{}},
		own:     ownRows{dirty: map[uint32]unsaid{}},
		watched: watches{at: map[Place]*watching{}},
		journal: journal{heard: math.MaxInt64},
	}
}

// counts returns the rows of all sources, and the users present in all places together.
func (p *presence) counts() (rows, users int) { return p.ownNumber + p.otherRows, p.users }

// set sets another node's row, also in a snapshot of it that is not complete. False: it
// was refused, because a bound is reached or a name is too long.
func (p *presence) set(now Now, src source, r row, c cause) bool {
	if !p.acceptable(r) {
		return false
	}
	if _, staging := p.tallies[src|staged]; staging && !p.stage(src, r) {
		p.unstage(src) // it would not be right any more
	}
	id, ok := p.findSeat(r.place, r.user)
	if !ok && r.n == 0 {
		return true
	}
	if !ok || p.row(p.seats.at(id), src) == nil {
		if r.n > 0 && p.otherRows >= p.cfg.Rows {
			return false
		}
		if !ok {
			id = p.newSeat(r.place, r.user)
		}
	}
	p.change(now, id, src, uint32(r.n), c)
	return true
}

func (p *presence) acceptable(r row) bool {
	return r.n >= 0 && r.n <= math.MaxInt32 && fits(r.place, r.user)
}

// change sets a row, and does what follows from that for the seat.
func (p *presence) change(now Now, id uint32, src source, n uint32, c cause) {
	s := p.seats.at(id)
	if have := p.row(s, src); have == nil && n == 0 || have != nil && *have == n {
		p.release(id)
		return
	}
	before := p.sessions(s)
	p.put(id, src, n)
	p.settle(now, id, before, c)
}

// settle does what follows for a seat from a change of its rows.
func (p *presence) settle(now Now, id uint32, before int64, c cause) {
	switch after := p.sessions(p.seats.at(id)); {
	case before == 0 && after > 0:
		p.arrive(now, id, c)
	case before > 0 && after == 0:
		p.depart(now, id, c)
	default:
		p.release(id)
	}
}

func (p *presence) arrive(now Now, id uint32, c cause) {
	s := p.seats.at(id)
	if s.since != 0 {
		p.graces.end(id) // the user was not missed
		return
	}
	s.since = uint32(min(max(now.Wall/1000, 1), math.MaxUint32))
	at := p.dir.places.at(s.place)
	at.count++
	p.users++
	p.watched.note(at.watch, p.dir.name(s.user), true)
	if at.Room == "" {
		p.note(now, Online, s, c)
	} else if at.count == 1 {
		p.note(now, Occupied, s, c)
	}
}

func (p *presence) depart(now Now, id uint32, c cause) {
	if p.cfg.Grace <= 0 {
		p.leave(now, id, c)
		return
	}
	p.graces.begin(id, now.Mono+p.cfg.Grace, c)
}

func (p *presence) leave(now Now, id uint32, c cause) {
	s := p.seats.at(id)
	s.since = 0
	at := p.dir.places.at(s.place)
	at.count--
	p.users--
	p.watched.note(at.watch, p.dir.name(s.user), false)
	if at.Room == "" {
		p.note(now, Offline, s, c)
	} else if at.count == 0 {
		p.note(now, Vacated, s, c)
	}
	p.release(id)
}

// tick ends the graces that are over.
func (p *presence) tick(now Now) {
	for g := p.graces.first; g != nil && g.until <= now.Mono; g = p.graces.first {
		p.graces.end(g.seat)
		p.leave(now, g.seat, g.cause)
	}
	p.dropSome(now)
	p.journal.trim(now)
}

func (p *presence) findSeat(at Place, user string) (id uint32, ok bool) {
	pl, ok := p.dir.findPlace(at)
	if !ok {
		return 0, false
	}
	u, ok := p.dir.findUser(user)
	if !ok {
		return 0, false
	}
	return p.bySeat.find(hashSeat(pl, u), func(id uint32) bool {
		s := p.seats.at(id)
		return s.place == pl && s.user == u
	})
}

func hashSeat(place, user uint32) uint64 { return mix(uint64(place)<<32 | uint64(user)) }

func (p *presence) hashOf(id uint32) uint64 {
	s := p.seats.at(id)
	return hashSeat(s.place, s.user)
}

// newSeat makes the seat of a user in a place, who has none there. It has to get a row,
// or to be released.
func (p *presence) newSeat(at Place, user string) uint32 {
	pl, added := p.dir.place(at)
	known := p.dir.places.at(pl)
	if added {
		known.events = p.cfg.Events != nil && p.cfg.Events(at.System)
		known.watch = p.watched.at[at]
	}
	u := p.dir.user(user)
	p.dir.names.at(u).seats++
	id := p.seats.add(seat{place: pl, user: u, src: nobody, at: uint32(len(known.seats))})
	known.seats = append(known.seats, id)
	p.bySeat.add(id, p.hashOf)
	return id
}

// release forgets a seat that has no row and whose user is not present.
func (p *presence) release(id uint32) {
	s := p.seats.at(id)
	if s.src != nobody || s.since != 0 || s.gone() {
		return
	}
	p.bySeat.remove(id, p.hashOf)
	at := p.dir.places.at(s.place)
	last := len(at.seats) - 1
	at.seats[s.at] = at.seats[last]
	p.seats.at(at.seats[s.at]).at = s.at
	at.seats = at.seats[:last]
	switch {
	case last == 0:
		p.dir.forgetPlace(s.place)
	case cap(at.seats) > 64 && last < cap(at.seats)/4:
		at.seats = append(make([]uint32, 0, last*2), at.seats...)
	}
	if n := p.dir.names.at(s.user); n.seats == 1 {
		p.dir.forgetUser(s.user)
	} else {
		n.seats--
	}
	p.seats.remove(id, seat{src: nobody, at: goneSeat})
}

// goneSeat marks, in seat.at, what is left of a seat that was forgotten.
const goneSeat = math.MaxUint32

func (s *seat) gone() bool { return s.at == goneSeat }
