package control

import (
	"github.com/fanfarebus/fanfare/domain"
)

// A Place is a room of a system or, if Room is "", the system itself: whoever is
// attached to the system is there.
type Place struct {
	System domain.System
	Room   string
}

// A Present is a user who is in a place.
type Present struct {
	User     string
	Sessions int   // on all nodes; 0 during the grace
	Since    int64 // milliseconds since 1970, by this node's clock
}

// A Page is a part of who is in a place.
type Page struct {
	Count    int       // users in the place
	Users    []Present // sorted by name
	Next     string    // after which name to ask for more; "" if there are no more
	Complete bool      // every live node is in step

	// Version is greater whenever somebody has come or gone in a place that is watched;
	// 0 for one that is not. It tells which changes are in the page: see Change.
	Version uint64
}

// Who returns the users in a place whose names come after a name, at most limit.
func (m *Machine) Who(p Place, after string, limit int) Page {
	page := m.presence.who(p, after, limit)
	page.Complete = m.Complete()
	return page
}

// Complete reports whether every live node is in step: whether this one knows who is
// attached to each of them, and has forgotten who was attached to nodes that have ended.
func (m *Machine) Complete() bool { return m.nodes.inStep() && !m.presence.dropping() }

// Find returns those of the users who are in a place, in their order.
func (m *Machine) Find(p Place, users []string) []Present { return m.presence.find(p, users) }

// Watch makes changes of a place known to [Machine.Changes]. Each Watch needs an Unwatch.
func (m *Machine) Watch(p Place) { m.presence.watch(p) }

// Unwatch undoes a Watch.
func (m *Machine) Unwatch(p Place) { m.presence.unwatch(p) }

// Changes returns the watched places that have changed since the last call, and how.
func (m *Machine) Changes() []Change { return m.presence.changes() }

// A Change says what has changed in a place from one version to another. Who came and went
// in the meantime is in neither list, so the lists are of use only to those who know who was
// there at the version From: others have to ask.
type Change struct {
	Place        Place
	From, To     uint64   // see Page.Version
	Count        int      // users in the place at To
	Joined, Left []string // sorted
	// Cut says that more users came and went than the lists may hold: they are empty,
	// and [Machine.Who] says who is there.
	Cut bool
}

// An EventType is the type of a CloudEvent.
type EventType string

// The types of events.
const (
	Online   EventType = "fanfare.user.online"   // a user's first session is attached to a system
	Offline  EventType = "fanfare.user.offline"  // the last one was gone for Config.Grace
	Occupied EventType = "fanfare.room.occupied" // the first user is in a room
	Vacated  EventType = "fanfare.room.vacated"  // nobody is there any more
)

// An Event tells a business service that somebody came or went. Nodes that speak of the
// same event give it the same ID where they can.
type Event struct {
	ID   string
	Type EventType
	Place
	User string // of Online and Offline
	Time int64  // milliseconds since 1970
}

// Events returns events that this node has to publish, oldest first, at most limit. They
// are returned again until [Machine.Spoken] says that the bus has them. One node at a
// time speaks for all; when it dies another repeats what may not have been said.
func (m *Machine) Events(limit int) []Event { return m.presence.events(limit) }

// Spoken says that the bus has the first n events that Events returned.
func (m *Machine) Spoken(n int) { m.presence.spoken(n) }
