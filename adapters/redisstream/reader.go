package redisstream

import (
	"errors"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

var errReply = errors.New("redis answered something that is no stream")

// maxNames is how many field names a reader remembers.
const maxNames = 64

// A reader reads entries from a connection. It belongs to one feed.
type reader struct {
	fields  []field           // scratch
	scratch []byte            // scratch
	names   map[string]string // names that came before: streams repeat them
}

// batch reads the answer to an XREAD of one stream, which is nil if there was
// nothing.
func (r *reader) batch(c *redisconn.Conn) (batch []domain.Entry, last id, err error) {
	streams, err := c.Array()
	if err != nil || streams <= 0 {
		return nil, id{}, err
	}
	if pair, err := c.Array(); err != nil || pair != 2 || streams != 1 {
		return nil, id{}, errors.Join(errReply, err)
	}
	if err := c.Skip(); err != nil { // the stream's name
		return nil, id{}, err
	}
	n, err := c.Array()
	if err != nil {
		return nil, id{}, err
	}
	batch = make([]domain.Entry, max(0, min(n, 1024)))[:0]
	for range n {
		e, at, err := r.entry(c)
		if err != nil {
			return nil, id{}, err
		}
		batch, last = append(batch, e), at
	}
	return batch, last, nil
}

func (r *reader) entry(c *redisconn.Conn) (e domain.Entry, at id, err error) {
	if pair, err := c.Array(); err != nil || pair != 2 {
		return e, at, errors.Join(errReply, err)
	}
	if r.scratch, err = c.Bulk(r.scratch[:0]); err != nil {
		return e, at, err
	}
	if at, err = parseID(string(r.scratch)); err != nil {
		return e, at, err
	}
	if err := r.readFields(c); err != nil {
		return e, at, err
	}
	e = decode(r.fields)
	e.Position, e.Time = at.position(), at.time()
	return e, at, nil
}

func (r *reader) readFields(c *redisconn.Conn) error {
	n, err := c.Array()
	if err != nil {
		return err
	}
	r.fields = r.fields[:0]
	for range n / 2 {
		if r.scratch, err = c.Bulk(r.scratch[:0]); err != nil {
			return err
		}
		f := field{name: r.name()}
		if f.value, err = c.Bulk(nil); err != nil {
			return err
		}
		r.fields = append(r.fields, f)
	}
	return nil
}

// name returns the name in the scratch, without a new string for one that is
// known.
func (r *reader) name() string {
	if s, ok := r.names[string(r.scratch)]; ok {
		return s
	}
	s := string(r.scratch)
	if r.names == nil {
		r.names = make(map[string]string)
	}
	if len(r.names) < maxNames && len(s) <= domain.MaxName {
		r.names[s] = s
	}
	return s
}
