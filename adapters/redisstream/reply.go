package redisstream

import (
	"errors"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

var errReply = errors.New("redis answered something that is no stream")

const (
	// maxNames is how many field names a replyReader remembers.
	maxNames = 64
	// maxScratch is how many bytes a replyReader keeps allocated between entries.
	maxScratch = 1 << 20
)

// A replyReader reads the replies to XREAD and decodes the entries in them. It
// belongs to one connection, and reuses its buffers from entry to entry.
type replyReader struct {
	fields []field           // scratch: the fields of one entry
	values []byte            // scratch: the bytes of these fields' values
	text   []byte            // scratch: an id or a field name
	names  map[string]string // field names seen before: most entries have the same

	// valueBytes is how many bytes the values of the last reply had in all.
	valueBytes int
}

// readStream reads the reply to an XREAD of one stream. It returns no entries if the
// server had none within the time that it was told to wait.
func (r *replyReader) readStream(conn *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	err = r.readStreams(conn, func(_ string, entries []domain.Entry, lastID id) {
		batch, last = entries, lastID
	})
	return batch, last, err
}

// readStreams reads the reply to an XREAD, and calls store for each stream that had
// entries, with their topic, the entries and the id of the last one. store owns the
// entries.
func (r *replyReader) readStreams(
	conn *redisconn.Conn, store func(topic string, batch []domain.Entry, last id),
) error {
	r.valueBytes = 0
	streams, err := conn.Array()
	if err != nil {
		return err
	}
	for range max(streams, 0) {
		if pair, err := conn.Array(); err != nil || pair != 2 {
			return errors.Join(errReply, err)
		}
		topic, err := conn.Text()
		if err != nil {
			return err
		}
		batch, last, err := r.readEntries(conn)
		if err != nil {
			return err
		}
		store(topic, batch, last)
	}
	return nil
}

// readEntries reads the entries of one stream.
func (r *replyReader) readEntries(conn *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	n, err := conn.Array()
	if err != nil || n < 1 || n > transport.BatchSize {
		return nil, id{}, errors.Join(errReply, err)
	}
	batch = make([]domain.Entry, n)
	positions := make([]byte, 0, positionSize*n)
	var memory arena
	for i := range batch {
		memory.expected = n - i
		if last, err = r.readEntry(conn, &memory, &batch[i]); err != nil {
			return nil, id{}, err
		}
		positions = last.appendTo(positions)
	}
	// The positions of the batch share one string, so that they need one allocation.
	for i, all := 0, domain.Position(positions); i < n; i++ {
		batch[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	return batch, last, nil
}

// readEntry reads one entry into the given one, except for its position, and returns
// its id.
func (r *replyReader) readEntry(
	conn *redisconn.Conn, memory *arena, into *domain.Entry,
) (entryID id, err error) {
	if pair, err := conn.Array(); err != nil || pair != 2 {
		return entryID, errors.Join(errReply, err)
	}
	if r.text, err = conn.Bulk(r.text[:0]); err != nil {
		return entryID, err
	}
	if entryID, err = parseID(r.text); err != nil {
		return entryID, err
	}
	if err := r.readFields(conn); err != nil {
		return entryID, err
	}
	r.valueBytes += len(r.values)
	*into = memory.decode(r.fields)
	into.Time = entryID.time()
	if cap(r.values) > maxScratch {
		r.values = nil
	}
	return entryID, nil
}

// readFields reads the fields of one entry into r.fields.
func (r *replyReader) readFields(conn *redisconn.Conn) error {
	n, err := conn.Array()
	if err != nil {
		return err
	}
	r.fields, r.values = r.fields[:0], r.values[:0]
	for range n / 2 {
		if r.text, err = conn.Bulk(r.text[:0]); err != nil {
			return err
		}
		name, start := r.name(), len(r.values)
		if r.values, err = conn.Bulk(r.values); err != nil {
			return err
		}
		r.fields = append(r.fields, field{name: name, value: r.values[start:]})
	}
	return nil
}

// name returns r.text as a string. It allocates none for a name that it remembers.
func (r *replyReader) name() string {
	if known, ok := r.names[string(r.text)]; ok {
		return known
	}
	name := string(r.text)
	if r.names == nil {
		r.names = make(map[string]string)
	}
	if len(r.names) < maxNames && len(name) <= domain.MaxName {
		r.names[name] = name
	}
	return name
}

// readExists reads the reply to an XRANGE of one id, and reports whether the stream
// has an entry with this id.
func readExists(conn *redisconn.Conn) (bool, error) {
	_, exists, err := readFirst(conn)
	return exists, err
}

// readFirst reads the reply to an XRANGE or XREVRANGE with COUNT 1. It returns the
// id of the entry, and whether there is one.
func readFirst(conn *redisconn.Conn) (entryID id, found bool, err error) {
	n, err := conn.Array()
	if err != nil || n < 1 {
		return id{}, false, err
	}
	if pair, err := conn.Array(); err != nil || pair != 2 || n != 1 {
		return id{}, false, errors.Join(errReply, err)
	}
	if err := readID(conn, &entryID); err != nil {
		return id{}, false, err
	}
	return entryID, true, conn.Skip()
}

// readID reads an id.
func readID(conn *redisconn.Conn, into *id) error {
	text, err := conn.Bulk(make([]byte, 0, maxID))
	if err == nil {
		*into, err = parseID(text)
	}
	return err
}
