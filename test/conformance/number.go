package conformance

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A number is the content of most messages: the nth message of a publisher.
type number struct{ publisher, n int }

// message returns a message with the number, without framing, as Fanfare's
// publishers send theirs.
func (n number) message() *message.Message {
	m := message.NewMessage(fmt.Sprintf("id-%d-%d", n.publisher, n.n), n.body())
	m.Metadata.Set(transport.RawKey, "1")
	return m
}

func (n number) body() []byte { return fmt.Appendf(nil, `{"publisher":%d,"n":%d}`, n.publisher, n.n) }

// numbered returns a publisher's messages from first to last.
func numbered(publisher, first, last int) []*message.Message {
	var all []*message.Message
	for n := first; n <= last; n++ {
		all = append(all, number{publisher, n}.message())
	}
	return all
}

func parseNumber(body []byte) (n number, ok bool) {
	_, err := fmt.Sscanf(string(body), `{"publisher":%d,"n":%d}`, &n.publisher, &n.n)
	return n, err == nil && string(n.body()) == string(body)
}

// numbers returns the numbers in the entries, each of which must have one.
func (r *run) numbers(entries []domain.Entry) []number {
	r.Helper()
	all := make([]number, len(entries))
	for i := range entries {
		n, ok := parseNumber(entries[i].Body)
		if !ok {
			r.Fatalf("entry %d is %q, which nobody published", i, entries[i].Body)
		}
		all[i] = n
	}
	return all
}

// inOrder checks that for each publisher p the entries are its numbers from
// first[p] on, with none missing and none repeated.
func (r *run) inOrder(who string, entries []domain.Entry, first map[int]int) {
	r.Helper()
	next := make(map[int]int, len(first))
	for p, n := range first {
		next[p] = n
	}
	for i, got := range r.numbers(entries) {
		if want, known := next[got.publisher]; !known || got.n != want {
			r.Fatalf("%s: entry %d is number %d of publisher %d, want number %d",
				who, i, got.n, got.publisher, want)
		}
		next[got.publisher]++
	}
}

// ascend checks the positions and times of entries. With a log, positions must
// ascend and have the same length, and times must be there and not descend.
// Without a log there must be no positions.
func (r *run) ascend(entries []domain.Entry) {
	r.Helper()
	for i := range entries {
		e := &entries[i]
		switch {
		case !r.claims.Log && e.Position != "":
			r.Fatalf("entry %d has a position, %x, but the transport claims no log", i, string(e.Position))
		case !r.claims.Log:
		case e.Position == "":
			r.Fatalf("entry %d has no position", i)
		case e.Time.IsZero():
			r.Fatalf("entry %d has no time", i)
		case i == 0:
		case len(e.Position) != len(entries[i-1].Position):
			r.Fatalf("positions are of different length: %x and %x",
				string(entries[i-1].Position), string(e.Position))
		case e.Position <= entries[i-1].Position:
			r.Fatalf("positions do not ascend: %x is followed by %x",
				string(entries[i-1].Position), string(e.Position))
		case e.Time.Before(entries[i-1].Time):
			r.Fatalf("times descend: %v is followed by %v", entries[i-1].Time, e.Time)
		}
	}
}
