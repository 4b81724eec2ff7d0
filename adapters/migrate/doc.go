// Package migrate moves topics from one bus to another while both are in use.
// docs/moving.md describes the same from the operator's side.
//
// # How a topic moves
//
// At any time exactly one of the two buses, the old one or the new one, defines
// the order of a topic. A [Bridge] copies the topic from the old bus to the new
// one. Each copy names the location of its original, so that cursors from the
// old bus stay valid.
//
// [CutOver] puts the cutover mark on the old bus, here called the mark: an entry
// of the kind [domain.MovedAway]. The Bridge copies it like everything else, and its copy
// on the new bus is an entry of the kind [domain.MovedHere]. Up to the mark the
// old bus defines the order; from the mark's copy on, the new bus does. Entries
// after the mark on the old bus are copied as well, but their position in the order
// is that of their copies.
//
// A [DualBus] is what nodes read in the meantime. It reads the old bus up to the
// mark, and the new bus from the mark's copy on, without a gap:
//
//	old   1 2 3 4 mark 5 6             5 and 6: from publishers that have not moved
//	new   1 2 3 4 mark 7 5 8 6 9       7, 8 and 9: from publishers that have
//	node  1 2 3 4      7 5 8 6 9
//
// # What can go wrong
//
// Nothing is lost silently. Clients are told a gap in place of an entry that
// could not be copied, and at the mark if something was published on the new bus
// before it. A node that waits too long for the mark's copy is deaf, see
// [DualBus.Deaf].
//
// # What is not moved
//
// Both buses must keep logs. Inbound topics are not copied; their consumers read
// both buses while the migration lasts.
//
// The root package's Migration is the way to all of this for programs, and
// `fanfare bridge` and `fanfare move` are the way for operators.
package migrate
