package redisstream

import (
	"fmt"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A streamInfo is what [XINFO STREAM] says of a stream at one moment. The zero value
// describes a stream that does not exist.
//
// [XINFO STREAM]: https://redis.io/docs/latest/commands/xinfo-stream/
type streamInfo struct {
	exists        bool
	length        int64 // how many entries the stream has
	entriesAdded  int64 // how many were ever added
	lastGenerated id    // the highest id that an entry ever had
	firstEntry    id    // the lowest id of an entry that exists
	maxDeleted    id    // the highest id that XDEL ever removed; trimming does not change it
}

const noSuchKey = redisconn.Error("ERR no such key")

// readInfo reads the reply to XINFO STREAM.
func readInfo(conn *redisconn.Conn) (streamInfo, error) {
	n, err := conn.Array()
	if err == noSuchKey {
		return streamInfo{}, nil
	}
	if err != nil {
		return streamInfo{}, err
	}
	info := streamInfo{exists: true, entriesAdded: -1}
	for range n / 2 {
		name, err := conn.Text()
		if err == nil {
			err = info.readField(conn, name)
		}
		if err != nil {
			return streamInfo{}, err
		}
	}
	if info.entriesAdded < 0 {
		return streamInfo{}, fmt.Errorf(
			"%w: the server does not count entries: Redis 7.0 or newer is needed", domain.ErrUnsupported)
	}
	return info, nil
}

// readField reads the value of one field, and drops it if it is of no use here.
func (s *streamInfo) readField(conn *redisconn.Conn, name string) error {
	switch name {
	case "length":
		return conn.Int(&s.length)
	case "entries-added":
		return conn.Int(&s.entriesAdded)
	case "last-generated-id":
		return readID(conn, &s.lastGenerated)
	case "recorded-first-entry-id":
		return readID(conn, &s.firstEntry)
	case "max-deleted-entry-id":
		return readID(conn, &s.maxDeleted)
	}
	return conn.Skip()
}
