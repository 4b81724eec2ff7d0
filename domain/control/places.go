package control

import (
	"hash/maphash"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// A name is a user's name, which is kept once, however many seats the user has.
type name struct {
	at    uint32 // in directory.texts
	seats uint32
}

// A place is what is known of a [Place] that has seats. It is forgotten with the last.
type place struct {
	Place
	seats  []uint32 // in no order; each seat knows its index
	count  int      // users present
	hash   uint64   // of the Place; the digest of a row goes on from it
	events bool     // events are made for it
	watch  *watching
}

// A directory gives numbers to the names of users and to places.
type directory struct {
	seed   maphash.Seed // so that nobody can choose names that collide
	names  slab[name]
	texts  texts
	byName index
	places slab[place]
	byAt   index
}

// fits reports whether names are such that they may be kept.
func fits(at Place, user string) bool {
	return user != "" && len(user) <= domain.MaxName && len(at.Room) <= domain.MaxName &&
		at.System != domain.System{}
}

func (d *directory) findUser(user string) (id uint32, ok bool) {
	return d.byName.find(maphash.String(d.seed, user), func(id uint32) bool {
		return string(d.name(id)) == user
	})
}

// name returns a user's name, which its caller does not change.
func (d *directory) name(id uint32) []byte { return d.texts.at(d.names.at(id).at) }

// user returns the number of a user, which is new if the user has none.
func (d *directory) user(user string) uint32 {
	id, ok := d.findUser(user)
	if !ok {
		id = d.names.add(name{at: d.texts.add(user)})
		d.byName.add(id, d.hashUser)
	}
	return id
}

func (d *directory) hashUser(id uint32) uint64 { return maphash.Bytes(d.seed, d.name(id)) }

// forgetUser forgets a user who has no seat any more.
func (d *directory) forgetUser(id uint32) {
	d.byName.remove(id, d.hashUser)
	d.texts.dead += len(d.name(id)) + textHead
	d.names.remove(id, name{})
	if d.texts.dead > textBlock && d.texts.dead > d.texts.size/2 {
		d.pack()
	}
}

// pack copies the names that are in use, so that the others give their memory back.
func (d *directory) pack() {
	old := d.texts
	d.texts = texts{}
	for id := range d.names.end {
		if n := d.names.at(id); n.seats > 0 {
			n.at = d.texts.add(string(old.at(n.at)))
		}
	}
}

func (d *directory) findPlace(at Place) (id uint32, ok bool) {
	return d.byAt.find(maphash.Comparable(d.seed, at), func(id uint32) bool {
		return d.places.at(id).Place == at
	})
}

// place returns the number of a place, and whether it is new.
func (d *directory) place(at Place) (id uint32, added bool) {
	if id, ok := d.findPlace(at); ok {
		return id, false
	}
	at.Room = strings.Clone(at.Room)
	if own, err := domain.ParseSystem(strings.Clone(at.System.String())); err == nil {
		at.System = own
	}
	id = d.places.add(place{Place: at, hash: hashPlace(at)})
	d.byAt.add(id, d.hashAt)
	return id, true
}

func (d *directory) hashAt(id uint32) uint64 {
	return maphash.Comparable(d.seed, d.places.at(id).Place)
}

func (d *directory) forgetPlace(id uint32) {
	d.byAt.remove(id, d.hashAt)
	d.places.remove(id, place{})
}
