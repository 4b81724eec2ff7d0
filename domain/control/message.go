package control

import (
	"strconv"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// A message is one entry of the control topic. Sections that it does not have are nil.
type message struct {
	node, inc string
	seq       uint64 // 1, 2, 3, … of the incarnation
	at        int64  // the sender's wall clock, in milliseconds since 1970
	steps     uint32 // how often the sender's wall clock has stepped
	beat      *beat
	rows      []row // changes, as absolute numbers
	snap      *snap
	facts     []item
	acks      []string // ids of commands that the sender has applied
	sync      []string // incarnations that are asked for a snapshot of their rows
	buckets   *buckets
	answering []string // incarnations that asked for facts of which these are some
	answered  []string // incarnations that have got all the facts they asked for
	asks      []ask
	replies   []reply // answers to asks of others
	bye       bool    // the incarnation has ended

	refused map[string]int // parts that were malformed, by reason; nil if there are none
}

// A beat is what a node says of itself.
type beat struct {
	version         string
	sessions, users int
	systems         []string // at most maxSystems
	systemsMore     int      // how many systems more there are
	lag             int64    // in milliseconds
	draining, ready bool
	facts, rows     digest
	speaks          bool
	webhooks        uint64 // Config.Webhooks
	unspoken        int64  // in milliseconds; 0: there is nothing to say
}

// A digest is a number of things and the exclusive or of their hashes.
type digest struct {
	n   int
	sum uint64
}

// A snap is a part of all rows of the sender. The last part stands beside a beat, whose
// digest the parts have to have together.
type snap struct {
	id   uint64 // of the snapshot, unique in the incarnation
	part int    // 1, 2, 3, …
	last bool
	rows []row
}

// An item is a fact on its way. Times are those of the sender's wall clock.
type item struct {
	key   Key
	value Value
	ver   version
	until int64 // when the fact ends
	keep  int64 // until when it is remembered that it was said; not before until
	del   bool
	// unproven says that the sender does not know the ends well: it has read them in a
	// log, by clocks that may be wrong.
	unproven bool
	want     []string // ids of commands: whoever has applied the fact says so
}

// buckets asks for the facts of those buckets of which the digests differ.
type buckets struct {
	to   string // the incarnation that is asked; "": one node that is alive
	sums [bucketCount]uint64
}

// Bounds of what is believed in one message.
const (
	maxSystems = 100 // names in a beat
	maxIDs     = 500 // in acks, sync, answering and answered each
	maxWant    = 20  // ids in one item
	maxLabel   = 256 // bytes of a node's name or version
	maxID      = 64  // bytes of an id or an incarnation
)

// begin appends the fields that every message has. The object is closed by end.
func (m *message) begin(b []byte) []byte {
	b = append(b, `{"v":1,"node":`...)
	b = jsontext.AppendMarshaled(b, m.node)
	b = append(b, `,"inc":`...)
	b = jsontext.AppendMarshaled(b, m.inc)
	b = appendUint(b, `,"seq":`, m.seq)
	b = appendInt(b, `,"at":`, m.at)
	if m.steps > 0 {
		b = appendUint(b, `,"steps":`, uint64(m.steps))
	}
	if m.bye {
		b = append(b, `,"bye":true`...)
	}
	return b
}

// append writes the whole message.
func (m *message) append(b []byte) []byte {
	b = m.begin(b)
	b = appendIDs(b, `,"ack":`, m.acks)
	b = appendIDs(b, `,"sync":`, m.sync)
	b = appendIDs(b, `,"answering":`, m.answering)
	b = appendIDs(b, `,"answered":`, m.answered)
	if m.buckets != nil {
		b = m.buckets.append(b)
	}
	for i := range m.facts {
		b = append(b, separator(i, `,"facts":[`)...)
		b = m.facts[i].append(b)
	}
	b = closed(b, len(m.facts))
	b = appendRows(b, `,"rows":[`, m.rows)
	b = m.appendTalk(b)
	if m.snap != nil {
		b = m.snap.append(b)
	}
	if m.beat != nil {
		b = m.beat.append(b)
	}
	return append(b, '}')
}

func (t *beat) append(b []byte) []byte {
	b = append(b, `,"beat":{"version":`...)
	b = jsontext.AppendMarshaled(b, t.version)
	b = appendInt(b, `,"sessions":`, int64(t.sessions))
	b = appendInt(b, `,"users":`, int64(t.users))
	b = appendIDs(b, `,"systems":`, t.systems)
	if t.systemsMore > 0 {
		b = appendInt(b, `,"systems_more":`, int64(t.systemsMore))
	}
	b = appendInt(b, `,"lag_ms":`, t.lag)
	b = appendTrue(b, `,"draining":true`, t.draining)
	b = appendTrue(b, `,"ready":true`, t.ready)
	b = t.facts.append(b, `,"facts":`)
	b = t.rows.append(b, `,"rows":`)
	b = appendTrue(b, `,"speaks":true`, t.speaks)
	if t.webhooks != 0 {
		b = append(appendHex(append(b, `,"webhooks":"`...), t.webhooks), '"')
	}
	if t.unspoken > 0 {
		b = appendInt(b, `,"unspoken_ms":`, t.unspoken)
	}
	return append(b, '}')
}

func (d digest) append(b []byte, name string) []byte {
	b = appendInt(append(b, name...), `{"n":`, int64(d.n))
	b = append(b, `,"digest":"`...)
	return append(appendHex(b, d.sum), `"}`...)
}

func (s *snap) append(b []byte) []byte {
	b = appendUint(b, `,"snap":{"id":`, s.id)
	b = appendInt(b, `,"part":`, int64(s.part))
	b = appendTrue(b, `,"last":true`, s.last)
	return append(appendRows(b, `,"rows":[`, s.rows), '}')
}

func (q *buckets) append(b []byte) []byte {
	b = append(b, `,"buckets":{"to":`...)
	b = jsontext.AppendMarshaled(b, q.to)
	b = append(b, `,"digests":"`...)
	for _, sum := range q.sums {
		b = appendHex(b, sum)
	}
	return append(b, `"}`...)
}

func (f *item) append(b []byte) []byte {
	b = append(b, `{"k":[`...)
	b = jsontext.AppendMarshaled(b, string(f.key.Kind))
	if f.key.Kind == Membership {
		b = jsontext.AppendMarshaled(append(b, ','), f.key.System)
		b = jsontext.AppendMarshaled(append(b, ','), f.key.Room)
	}
	b = jsontext.AppendMarshaled(append(b, ','), f.key.Name)
	b = append(b, ']')
	b = f.value.append(b)
	b = appendInt(b, `,"until":`, f.until)
	if f.keep > f.until {
		b = appendInt(b, `,"keep":`, f.keep)
	}
	b = appendInt(b, `,"ver":[`, f.ver.ms)
	b = appendUint(b, `,`, uint64(f.ver.counter))
	b = append(jsontext.AppendMarshaled(append(b, ','), f.ver.inc), ']')
	b = appendTrue(b, `,"del":true`, f.del)
	b = appendTrue(b, `,"unproven":true`, f.unproven)
	b = appendIDs(b, `,"want":`, f.want)
	return append(b, '}')
}

func (v *Value) append(b []byte) []byte {
	if *v == (Value{}) {
		return b
	}
	b = append(b, `,"v":{`...)
	start := len(b)
	if v.Reason != "" {
		b = append(b, `,"reason":`...)
		b = jsontext.AppendMarshaled(b, v.Reason)
	}
	if v.Code != 0 {
		b = appendInt(b, `,"code":`, int64(v.Code))
	}
	b = appendTrue(b, `,"final":true`, v.Final)
	if v.Before != 0 {
		b = appendInt(b, `,"before":`, v.Before)
	}
	if v.Rate != 0 {
		b = appendInt(b, `,"rate":`, int64(v.Rate))
	}
	if v.Sessions != 0 {
		b = appendInt(b, `,"sessions":`, int64(v.Sessions))
	}
	b = append(b[:start], b[start+1:]...) // without the first comma
	return append(b, '}')
}

func appendRows(b []byte, name string, rows []row) []byte {
	for i := range rows {
		b = append(b, separator(i, name)...)
		b = rows[i].append(b)
	}
	return closed(b, len(rows))
}

func (r *row) append(b []byte) []byte {
	b = jsontext.AppendMarshaled(append(b, '['), r.place.System.String())
	b = jsontext.AppendMarshaled(append(b, ','), r.place.Room)
	b = jsontext.AppendMarshaled(append(b, ','), r.user)
	return append(appendInt(b, `,`, int64(r.n)), ']')
}

func appendIDs(b []byte, name string, ids []string) []byte {
	if len(ids) == 0 {
		return b
	}
	b = append(b, name...)
	for i, id := range ids {
		b = append(b, separator(i, "[")...)
		b = jsontext.AppendMarshaled(b, id)
	}
	return append(b, ']')
}

// separator returns what stands before element i of an array that begins with name.
func separator(i int, name string) string {
	if i == 0 {
		return name
	}
	return ","
}

// closed ends an array that was begun only if it has elements.
func closed(b []byte, n int) []byte {
	if n > 0 {
		b = append(b, ']')
	}
	return b
}

func appendTrue(b []byte, field string, is bool) []byte {
	if is {
		b = append(b, field...)
	}
	return b
}

func appendInt(b []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(b, name...), n, 10)
}

func appendUint(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendHex(b []byte, n uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hex[n>>shift&15])
	}
	return b
}
