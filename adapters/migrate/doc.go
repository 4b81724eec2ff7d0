// Package migrate replaces one bus by another while both are in use.
//
// Exactly one bus defines the order of a topic at any time. A Bridge copies the
// topic from the old bus to the new one; each copy names the place of its
// original, so that cursors stay good. A mark on the old bus, put there by
// Leave, ends its time: what is behind it there still is copied, but the order
// is now the new bus's, which begins with the mark's copy. A Bus is what nodes
// read while that happens: the old bus up to the mark, the new one from the
// mark's copy on, without a gap.
//
//	old   1 2 3 4 leave 5 6             5 and 6: from publishers that have not moved
//	new   1 2 3 4 leave 7 5 8 6 9       7, 8 and 9: from publishers that have
//	node  1 2 3 4       7 5 8 6 9
//
// What can go wrong is told, not hidden: what could not be copied, and what was
// published on the new bus too early, become gaps; a node that waits for the
// mark's copy is deaf.
//
// Both buses keep logs. Inbound topics are not copied: their consumers read both
// buses while the move lasts.
package migrate
