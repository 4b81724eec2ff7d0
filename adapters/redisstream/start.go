package redisstream

import (
	"context"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A startFinder finds the entry after which a feed begins. It uses conn for its
// questions and leaves no reply unread.
type startFinder func(ctx context.Context, conn *redisconn.Conn) (progress, error)

// startAfter returns a finder for a feed that begins after a position, or after the
// newest entry if the position is "". The finder returns a GapError if it cannot
// prove that nothing after the position is missing.
func startAfter(topic string, after domain.Position) (startFinder, error) {
	start := progress{ordinal: unknownOrdinal}
	if after != "" {
		var err error
		if start.last, err = parsePosition(after); err != nil {
			return nil, gapError(domain.UnknownCursor, "%v", err)
		}
		if start.last == (id{}) {
			start.ordinal = 0
		}
	}
	return func(ctx context.Context, conn *redisconn.Conn) (progress, error) {
		info, exists, err := inspect(ctx, conn, topic, start.last)
		if err != nil {
			return progress{}, err
		}
		atTail := info.exists && info.lastGenerated == start.last
		if after == "" || atTail {
			return progress{last: info.lastGenerated, ordinal: info.entriesAdded}, nil
		}
		switch {
		case exists:
			return start, nil
		case info.length > 0 && info.firstEntry == start.last.next():
			// No entry can lie between these two ids. Those up to start are all gone.
			start.ordinal = info.entriesAdded - info.length
			return start, nil
		}
		return start, info.prove(start, 0)
	}, nil
}

// startSince returns a finder for a feed that begins right before the first entry
// of time t or later, or after the newest entry if there is none of that time.
func startSince(topic string, t time.Time) startFinder {
	return func(ctx context.Context, conn *redisconn.Conn) (progress, error) {
		return findSince(ctx, conn, topic, t)
	}
}

// findSince finds the start for startSince.
//
// If the stream has an entry older than t, the feed begins after the newest of
// these. If it has none, all its entries are to be read, and all that were before
// them are gone. Their number is then the start's ordinal. (The number is too high
// if XDEL has removed entries from the middle. That does no harm: whatever is
// trimmed from now on is still trimmed from the front, so streamInfo.prove
// compares two numbers that are too high by the same amount.)
//
// A position that was made up in this way has no entry, and Follow, which knows no
// ordinals, can prove something about it only while the first entry is the one with the
// next id. So if the stream has never lost an entry, the feed begins at the position
// before all entries, which Follow always knows.
func findSince(ctx context.Context, conn *redisconn.Conn, topic string, t time.Time) (progress, error) {
	defer conn.Bind(ctx)()
	before := id{}
	if ms := t.UnixMilli(); ms > 0 {
		before = id{uint64(ms), 0}.previous()
	}
	info, err := snapshot(conn, topic,
		[]string{"XREVRANGE", topic, before.String(), "-", "COUNT", "1"},
		[]string{"XRANGE", topic, before.next().String(), "+", "COUNT", "1"})
	if err != nil {
		return progress{}, err
	}
	older, hasOlder, err := readFirst(conn)
	if err != nil {
		return progress{}, err
	}
	first, hasFirst, err := readFirst(conn)
	switch {
	case err != nil:
		return progress{}, err
	case !hasFirst:
		return progress{last: info.lastGenerated, ordinal: info.entriesAdded}, nil
	case hasOlder:
		return progress{last: older, ordinal: unknownOrdinal}, nil
	case info.entriesAdded == info.length:
		return progress{}, nil
	}
	return progress{last: first.previous(), ordinal: info.entriesAdded - info.length}, nil
}

// inspect asks for a stream's info and whether the stream has an entry with this
// id, both at the same moment.
func inspect(
	ctx context.Context, conn *redisconn.Conn, topic string, entry id,
) (info streamInfo, exists bool, err error) {
	defer conn.Bind(ctx)()
	text := entry.String()
	info, err = snapshot(conn, topic, []string{"XRANGE", topic, text, text, "COUNT", "1"})
	if err != nil {
		return streamInfo{}, false, err
	}
	exists, err = readExists(conn)
	return info, exists, err
}

// snapshot asks for a stream's info and sends further commands with it. The server
// executes all of them at the same moment (MULTI). snapshot reads the info; the
// caller reads the replies to its commands, in their order.
func snapshot(conn *redisconn.Conn, topic string, commands ...[]string) (streamInfo, error) {
	conn.QueueAsking() // holds until EXEC
	conn.Queue("MULTI")
	conn.Queue("XINFO", "STREAM", topic)
	for _, args := range commands {
		conn.Queue(args...)
	}
	conn.Queue("EXEC")
	if err := conn.Flush(); err != nil {
		return streamInfo{}, err
	}
	if err := conn.SkipAsking(); err != nil {
		return streamInfo{}, err
	}
	for range 2 + len(commands) { // OK for MULTI, and QUEUED for each command in it
		if err := conn.Skip(); err != nil {
			return streamInfo{}, err
		}
	}
	if n, err := conn.Array(); err != nil || n != 1+len(commands) {
		return streamInfo{}, errors.Join(errReply, err)
	}
	return readInfo(conn)
}
