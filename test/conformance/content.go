package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A sample is a message that must arrive as it was published. A transport may
// refuse odd samples, but may not change any.
type sample struct {
	name string
	*message.Message
	odd bool // unusual enough that a transport need not be able to carry it
}

// origin is the metadata key of copies when a bus is moved.
const origin = "fanfare.origin"

func samples() []sample {
	return []sample{
		newSample("a plain message", false, "0b9d1c0e-7f61-4f0c-9a51-3b6a0c1f2d3e", `{"n":1}`,
			"to", "user:alice", "type", "order.paid"),
		newSample("a payload of every byte", false, "1", string(everyByte())),
		newSample("an empty payload", false, "2", "", "k", "v"),
		newSample("no UUID", false, "", "x"),
		newSample("neither UUID nor payload", false, "", ""),
		newSample("a payload of 256 KiB", false, "3", strings.Repeat("0123456789abcdef", 16<<10)),
		newSample("a payload that looks like a frame", false, "4",
			`{"_watermill_message_uuid":"no","metadata":{"a":"b"},"payload":"eA=="}`),
		newSample("a payload that looks like a stamp", false, "5", `{"stamp":"0123456789abcdef:1","to":"*"}`, "k", "v"),
		newSample("the origin of a copy", false, "6", "x",
			origin, strings.Repeat("kafka:0123456789abcdef/", 200)),
		newSample("many metadata", false, "7", "x", many(50)...),
		newSample("names that differ in case", false, "8", "x", "Trace-Id", "1", "trace-id", "2", "TRACE-ID", "3"),
		newSample("metadata in UTF-8", false, "9", "x", "k", "žluťoučký kůň 🐎"),
		newSample("an empty metadata value", false, "10", "x", "k", ""),
		newSample("a long UUID", false, strings.Repeat("u", 200), "x"),
		newSample("a UUID in UTF-8", true, "úúid", "x"),
		newSample("metadata values with white space at their ends", true, "11", "x", "k", " v\t"),
		newSample("metadata values with line breaks", true, "12", "x", "k", "a\r\nb: c"),
		newSample("metadata values of any bytes", true, "13", "x", "k", string(everyByte())),
		newSample("metadata names of any bytes", true, "14", "x", "k \xff:\r\n", "v"),
		newSample("a metadata name without letters", true, "15", "x", "", "v"),
		newSample("a UUID of any bytes", true, string(everyByte()), "x"),
		newSample("reserved metadata", true, "16", "x", "_watermill_message_uuid", "17"),
	}
}

func newSample(name string, odd bool, uuid, payload string, metadata ...string) sample {
	m := message.NewMessage(uuid, []byte(payload))
	for i := 0; i+1 < len(metadata); i += 2 {
		m.Metadata.Set(metadata[i], metadata[i+1])
	}
	return sample{name, m, odd}
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func many(n int) (pairs []string) {
	for i := range n {
		pairs = append(pairs, fmt.Sprint("name-", i), fmt.Sprint("value ", i))
	}
	return pairs
}

// content checks that UUID, metadata and payload arrive byte for byte, or are
// refused.
func content(r *run) {
	pub, topic := r.driver(), r.topic()
	f := r.follow(r.driver(), topic, "")
	for _, s := range samples() {
		if s.Metadata[origin] != "" && !r.claims.Log {
			continue // only buses with a log can be moved from or to
		}
		switch err := r.try(pub, topic, s.Message); {
		case errors.Is(err, domain.ErrInvalid) && s.odd:
			r.report.cannot("carry " + s.name + ": refused")
			continue
		case err != nil:
			r.Errorf("%s: refused: %v", s.name, err)
			continue
		}
		e := f.take(1)[0]
		switch {
		case s.UUID == "" && e.UUID != "":
			r.report.cannot("carry " + s.name + ": it makes one up")
		case e.UUID != s.UUID:
			r.Errorf("%s: the UUID %q came as %q", s.name, s.UUID, e.UUID)
		}
		if got, ok := fields(e.Header); !ok || !maps.Equal(got, s.Metadata) {
			r.Errorf("%s: the metadata %q came as %q", s.name, short(s.Metadata), short(e.Header))
		}
		if !bytes.Equal(e.Body, s.Payload) {
			r.Errorf("%s: the payload %q came as %q", s.name, short(s.Payload), short(e.Body))
		}
	}
	r.publish(pub, topic, number{1, 1}.message())
	r.inOrder("the follower, at the end", f.take(1), map[int]int{1: 1})
}

// fields makes metadata of a header; false if a name comes twice.
func fields(header []domain.Field) (m message.Metadata, ok bool) {
	m = make(message.Metadata, len(header))
	for _, h := range header {
		m[h.Name] = h.Value
	}
	return m, len(m) == len(header)
}

func short(v any) string {
	text := fmt.Sprintf("%s", v)
	if len(text) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", text[:200], len(text))
	}
	return text
}

// raw checks that with RawKey the payload arrives unchanged, and that the key
// itself is not sent.
func raw(r *run) {
	pub, topic := r.driver(), r.topic()
	f := r.follow(r.driver(), topic, "")
	for _, payload := range []string{
		`{"to":"user:alice","data":1}`, string(everyByte()), "no JSON", `{"_watermill_message_uuid":"no"`,
	} {
		m := message.NewMessage("id", []byte(payload))
		m.Metadata.Set(transport.RawKey, "1")
		r.publish(pub, topic, m)
		e := f.take(1)[0]
		if string(e.Body) != payload || len(e.Header) > 0 || e.UUID != "" && e.UUID != "id" {
			r.Errorf("a raw message of %q came as %q with header %v and UUID %q", payload, e.Body, e.Header, e.UUID)
		}
	}
	m := message.NewMessage("id", []byte(`{"to":"*"}`))
	m.Metadata = message.Metadata{transport.RawKey: "1", "fanfare.origin": "kafka:0123"}
	r.publish(pub, topic, m)
	e := f.take(1)[0]
	switch got, _ := fields(e.Header); {
	case string(e.Body) != `{"to":"*"}` || got[transport.RawKey] != "":
		r.Errorf("a raw message with more metadata came as %q with header %v", e.Body, e.Header)
	case got["fanfare.origin"] == "kafka:0123":
	case r.claims.Log:
		r.Errorf("a raw message's other metadata are lost, though the transport claims a log: header %v", e.Header)
	default:
		r.report.cannot("carry metadata beside transport.RawKey")
	}
}

// untouched checks that Publish neither changes nor keeps what it is given, and
// that entries belong to the reader.
func untouched(r *run) {
	pub, d, topic := r.driver(), r.driver(), r.topic()
	one, two := r.follow(d, topic, ""), r.follow(d, topic, "")
	begin := one.Begin()
	records := append(on(topic, framed(1, 20)...), on(topic, numbered(0, 21, 40)...)...)
	before := snapshot(records)
	ctx, cancel := r.patient()
	defer cancel()
	if err := errors.Join(pub.Publish(ctx, records)...); err != nil {
		r.Fatalf("Publish: %v", err)
	}
	if after := snapshot(records); after != before {
		r.Errorf("Publish changed what it was given:\n%s\nbecame\n%s", before, after)
	}
	scribble(records)
	r.whole("what was published and changed afterwards", one, 40, true)
	r.whole("what another reader had changed", two, 40, false)
	if r.claims.Log {
		r.whole("what was read again", r.follow(d, topic, begin), 40, false)
	}
}

func snapshot(records []transport.Outgoing) string {
	var b strings.Builder
	for _, o := range records {
		fmt.Fprintf(&b, "%s %p %q %q %q\n", o.Topic, o.Message, o.Message.UUID, o.Message.Metadata, o.Message.Payload)
	}
	return b.String()
}

func scribble(records []transport.Outgoing) {
	for i := range records {
		m := records[i].Message
		for j := range m.Payload {
			m.Payload[j] = '#'
		}
		m.UUID = "#"
		clear(m.Metadata)
		m.Metadata.Set("#", "#")
		records[i] = transport.Outgoing{}
	}
}

// whole checks that the numbers from 1 to n come. If spoil is set it then changes
// the entries, as their owner may.
func (r *run) whole(what string, f *reader, n int, spoil bool) {
	r.Helper()
	entries := f.take(n)
	for i := range entries {
		e := &entries[i]
		if want := (number{0, i + 1}).body(); !bytes.Equal(e.Body, want) {
			r.Fatalf("%s: entry %d is %q, want %q", what, i, e.Body, want)
		}
		if k, _ := fields(e.Header); i < 20 && k["k"] != "v" {
			r.Fatalf("%s: entry %d has header %v", what, i, e.Header)
		}
		if spoil {
			_ = append(e.Body, "overwrites what follows"...)
			_ = append(e.Header, domain.Field{Name: "overwrites", Value: "what follows"})
		}
	}
	if !spoil {
		return
	}
	for i := range entries {
		clear(entries[i].Body)
		clear(entries[i].Header)
	}
}

// poison checks that no payload breaks a feed or a subscription, whatever its bytes.
func poison(r *run) {
	pub, bus, topic := r.driver(), r.bus(), r.topic()
	f := r.follow(r.driver(), topic, "")
	in, _ := r.subscribe(bus, topic)
	bad := []string{
		"\x00", "{", `{"_watermill_message_uuid":`, `{"_watermill_message_uuid":5,"payload":"x"}`, "\xff\xfe\xfd",
		`{"stamp":"`, strings.Repeat("[", 100_000), "*1\r\n$4\r\nPING\r\n", "\x1f\x8b\x08",
		`{"stamp":"0123456789abcdef:18446744073709551615","to":"*"}`, "null", "-",
	}
	for i, payload := range bad {
		m := message.NewMessage("", []byte(payload))
		m.Metadata.Set(transport.RawKey, "1")
		r.publish(pub, topic, m, number{1, i + 1}.message())
	}
	got := f.take(2 * len(bad))
	for i, payload := range bad {
		if string(got[2*i].Body) != payload {
			r.Errorf("%q came as %q", short(payload), short(got[2*i].Body))
		}
		r.inOrder("behind "+short(payload), got[2*i+1:2*i+2], map[int]int{1: i + 1})
	}
	for i := range 2 * len(bad) {
		m := r.receive(in)
		if n, ok := parseNumber(m.Payload); i%2 == 1 && (!ok || n.n != i/2+1) {
			r.Errorf("one by one, behind %q came %q", short(bad[i/2]), short(m.Payload))
		}
		m.Ack()
	}
}

// foreignPoison checks that unreadable messages which another program publishes
// stop no reader, and are returned for the reader to count.
func foreignPoison(r *run) {
	pub, bus, topic := r.driver(), r.bus(), r.topic()
	f := r.follow(r.driver(), topic, "")
	in, _ := r.subscribe(bus, topic)
	for i := range 3 {
		r.publish(pub, topic, number{1, i + 1}.message())
		r.h.Poison(r.TB, topic)
	}
	r.publish(pub, topic, number{1, 4}.message())
	for want, odd := 1, 0; want <= 4; {
		e := f.take(1)[0]
		switch n, ok := parseNumber(e.Body); {
		case !ok:
			odd++
		case n.n != want:
			r.Fatalf("number %d came, want %d", n.n, want)
		default:
			if odd == 0 && want > 1 {
				r.Errorf("what nobody can read was swallowed: it must be returned, for the reader to count")
			}
			want, odd = want+1, 0
		}
	}
	for want := 1; want <= 4; {
		m := r.receive(in)
		if n, ok := parseNumber(m.Payload); ok && n.n == want {
			want++
		} else if ok {
			r.Fatalf("one by one: number %d came, want %d", n.n, want)
		}
		m.Ack()
	}
}
