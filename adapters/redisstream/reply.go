package redisstream

import (
	"errors"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

var errReply = errors.New("redis answered something that is no stream")

const (
	// maxNames is how many field names a reader remembers.
	maxNames = 64
	// maxScratch is how many bytes a reader keeps for the next entry.
	maxScratch = 1 << 20
)

// A replyReader reads entries from a connection. It belongs to that one's feed, or to
// what reads for all feeds that share it.
type replyReader struct {
	fields     []field           // scratch: those of one entry
	values     []byte            // scratch: what the fields' values point into
	text       []byte            // scratch: an id or a name
	names      map[string]string // names that came before: streams repeat them
	valueBytes int               // bytes of values in the last answer
}

// readStream reads the answer to an XREAD of one stream, which is nil if there was
// nothing.
func (r *replyReader) readStream(c *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	err = r.readStreams(c, func(_ string, entries []domain.Entry, at id) { batch, last = entries, at })
	return batch, last, err
}

// readStreams reads the answer to an XREAD and calls take for each stream that had
// something. The topic is valid during the call; the entries are take's.
func (r *replyReader) readStreams(c *redisconn.Conn, take func(topic string, batch []domain.Entry, last id)) error {
	r.valueBytes = 0
	streams, err := c.Array()
	if err != nil {
		return err
	}
	for range max(streams, 0) {
		if pair, err := c.Array(); err != nil || pair != 2 {
			return errors.Join(errReply, err)
		}
		topic, err := c.Text()
		if err != nil {
			return err
		}
		batch, last, err := r.readEntries(c)
		if err != nil {
			return err
		}
		take(topic, batch, last)
	}
	return nil
}

// readEntries reads the readEntries of one stream in the answer to an XREAD.
func (r *replyReader) readEntries(c *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	n, err := c.Array()
	if err != nil || n < 1 || n > transport.BatchSize {
		return nil, id{}, errors.Join(errReply, err)
	}
	batch = make([]domain.Entry, n)
	positions := make([]byte, 0, positionSize*n)
	for i := range batch {
		if last, err = r.readEntry(c, &batch[i]); err != nil {
			return nil, id{}, err
		}
		positions = last.appendTo(positions)
	}
	for i, all := 0, domain.Position(positions); i < n; i++ { // one string for the whole batch
		batch[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	return batch, last, nil
}

// readEntry reads all of an readEntry but its position.
func (r *replyReader) readEntry(c *redisconn.Conn, into *domain.Entry) (at id, err error) {
	if pair, err := c.Array(); err != nil || pair != 2 {
		return at, errors.Join(errReply, err)
	}
	if r.text, err = c.Bulk(r.text[:0]); err != nil {
		return at, err
	}
	if at, err = parseID(r.text); err != nil {
		return at, err
	}
	if err := r.readFields(c); err != nil {
		return at, err
	}
	r.valueBytes += len(r.values)
	*into = decode(r.fields)
	into.Time = at.time()
	if cap(r.values) > maxScratch {
		r.values = nil
	}
	return at, nil
}

func (r *replyReader) readFields(c *redisconn.Conn) error {
	n, err := c.Array()
	if err != nil {
		return err
	}
	r.fields, r.values = r.fields[:0], r.values[:0]
	for range n / 2 {
		if r.text, err = c.Bulk(r.text[:0]); err != nil {
			return err
		}
		name, from := r.name(), len(r.values)
		if r.values, err = c.Bulk(r.values); err != nil {
			return err
		}
		r.fields = append(r.fields, field{name: name, value: r.values[from:]})
	}
	return nil
}

// name returns the name in text, without a new string for one that is known.
func (r *replyReader) name() string {
	if s, ok := r.names[string(r.text)]; ok {
		return s
	}
	s := string(r.text)
	if r.names == nil {
		r.names = make(map[string]string)
	}
	if len(r.names) < maxNames && len(s) <= domain.MaxName {
		r.names[s] = s
	}
	return s
}
