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

// A reader reads entries from a connection. It belongs to that one's feed, or to
// what reads for all feeds that share it.
type reader struct {
	fields []field           // scratch: those of one entry
	values []byte            // scratch: what the fields' values point into
	text   []byte            // scratch: an id or a name
	names  map[string]string // names that came before: streams repeat them
	size   int               // bytes of values in the last answer
}

// batch reads the answer to an XREAD of one stream, which is nil if there was
// nothing.
func (r *reader) batch(c *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	err = r.batches(c, func(_ string, entries []domain.Entry, at id) { batch, last = entries, at })
	return batch, last, err
}

// batches reads the answer to an XREAD and calls take for each stream that had
// something. The topic is valid during the call; the entries are take's.
func (r *reader) batches(c *redisconn.Conn, take func(topic string, batch []domain.Entry, last id)) error {
	r.size = 0
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
		batch, last, err := r.entries(c)
		if err != nil {
			return err
		}
		take(topic, batch, last)
	}
	return nil
}

// entries reads the entries of one stream in the answer to an XREAD.
func (r *reader) entries(c *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	n, err := c.Array()
	if err != nil || n < 1 || n > transport.BatchSize {
		return nil, id{}, errors.Join(errReply, err)
	}
	batch = make([]domain.Entry, n)
	positions := make([]byte, 0, positionSize*n)
	for i := range batch {
		if last, err = r.entry(c, &batch[i]); err != nil {
			return nil, id{}, err
		}
		positions = last.appendTo(positions)
	}
	for i, all := 0, domain.Position(positions); i < n; i++ { // one string for the whole batch
		batch[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	return batch, last, nil
}

// entry reads all of an entry but its position.
func (r *reader) entry(c *redisconn.Conn, into *domain.Entry) (at id, err error) {
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
	r.size += len(r.values)
	*into = decode(r.fields)
	into.Time = at.time()
	if cap(r.values) > maxScratch {
		r.values = nil
	}
	return at, nil
}

func (r *reader) readFields(c *redisconn.Conn) error {
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
func (r *reader) name() string {
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
