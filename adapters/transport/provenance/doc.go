// Package provenance says where copies come from. When a bus is moved to another
// one (package migrate), its messages are copied to the new bus, and sessions that
// hold a cursor of the old bus go on there.
//
// The package is pure: it reads and makes messages and entries, and neither
// publishes nor subscribes. Only package migrate writes what it defines; package
// transport reads it from every log.
//
// # What a copy carries
//
// The metadata key fanfare.origin of a copy holds an [Origin]: where the original
// was, in its own log and in those that it was copied from before; what was copied
// just before it; and when it was published.
//
// The metadata key fanfare.move marks what is no message:
//
//   - away: a node that is set up to follow goes on in the log that a copy of this is
//     in. The copy itself says that the new log begins to count.
//   - here: the log is the one that counts, and up to where the one before it was
//     copied. It is published again and again, for those who begin to read late.
//   - gap: something could not be copied.
//   - note: a copy of what was no message itself.
//   - probe: it does nothing, but its copy shows that a copier runs.
//
// On the wire the value for away is "leave".
//
// # What a reader makes of it
//
// A [Reader] turns the metadata of what was read into fields of [domain.Entry]:
// Origins, Late and the kinds MovedAway, MovedHere, Gap and Control. A copy that
// comes twice counts once; where a copy is missing, there is a [domain.Gap].
//
// A [Locator] finds locations of other logs in one that holds copies of them. That
// translates a client's cursor.
//
// TestLocate in package transport shows both.
package provenance
