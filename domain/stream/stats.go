package stream

import "github.com/fanfarebus/fanfare/domain"

// Stats count what a Stream did since it was made. Duplicates, Conflicts and
// the rest are numbers of messages, except where said.
type Stats struct {
	Delivered  uint64                      // entered the window
	Offered    uint64                      // frames taken by an outbox
	Matched    uint64                      // messages that had at least one session here
	Duplicates uint64                      // same id and content again: dropped
	Conflicts  uint64                      // same id, other content: delivered
	Forgotten  uint64                      // ids forgotten before DedupeAge, for want of room
	Expired    uint64                      // arrived past their ttl: not delivered
	Skipped    uint64                      // entries that were no message
	Gaps       map[domain.GapReason]uint64 // interruptions that became gaps
	GapsTold   map[domain.GapReason]uint64 // gap notices given to sessions
	FellBack   uint64                      // times a session's outbox was full
	Resumed    uint64                      // attaches that went on at their cursor
	Backfills  uint64                      // times the log was read again
	Scanned    uint64                      // entries read again
	Replayed   uint64                      // messages among them that a session waited for
	Sessions   int                         // attached now
	Behind     int                         // of these, catching up
	Replaying  int                         // sessions that wait for the log to be read again
	Entries    int                         // in the window
	Bytes      int64                       // of the window, its index and what dedupe remembers

	BacklogBytes int64 // read again, and not taken yet by sessions that are slow
}
