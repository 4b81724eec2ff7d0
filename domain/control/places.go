package control

import (
	"hash/maphash"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// A name is a user's name, which is kept once, however many seats the user has.
type name struct {
	text  string
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
		return d.names.at(id).text == user
	})
}

// user returns the number of a user, which is new if the user has none. What it is taken
// from is not kept: it may be a part of a long message.
func (d *directory) user(user string) uint32 {
	id, ok := d.findUser(user)
	if !ok {
		id = d.names.add(name{text: strings.Clone(user)})
		d.byName.add(id, d.hashUser)
	}
	return id
}

func (d *directory) hashUser(id uint32) uint64 {
	return maphash.String(d.seed, d.names.at(id).text)
}

func (d *directory) forgetUser(id uint32) {
	d.byName.remove(id, d.hashUser)
	d.names.remove(id, name{})
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
