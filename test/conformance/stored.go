package conformance

import (
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// stored checks that where Publish says the log has a record, readers find it.
func stored(r *run) {
	d, topic, elsewhere := r.driver(), r.topic(), r.topic()
	f, other := r.follow(r.driver(), topic, ""), r.follow(d, elsewhere, "")
	records := on(topic, numbered(1, 1, 1)...)
	r.sends(d, records)
	if records[0].At == (domain.Location{}) {
		r.report.cannot("say where it put what was published: the answer to a publish has no cursor")
		return
	}
	mixed := on(topic, numbered(1, 2, 60)...)
	mixed[30].Topic, mixed[31].Topic, mixed[40].Topic = elsewhere, elsewhere, elsewhere
	r.sends(d, mixed)
	for _, record := range mixed {
		if record.Topic == topic {
			records = append(records, record)
		}
	}
	r.areAt(f, records)
	r.areAt(other, []transport.Outgoing{mixed[30], mixed[31], mixed[40]})
	last := records[len(records)-1]
	g := r.follow(r.driver(), topic, last.At.Position)
	r.publish(d, topic, number{1, 61}.message())
	r.inOrder("a reader from where a message was put", g.take(1), map[int]int{1: 61})
	r.storedTogether()
}

// storedTogether checks the same for publishers that share a Transport.
func (r *run) storedTogether() {
	r.Helper()
	const publishers, n = 4, 25
	bus, topic := r.bus(), r.topic()
	f := r.follow(r.driver(), topic, "")
	var all sync.WaitGroup
	var failed [publishers]error
	var at [publishers][n]transport.Outgoing
	for p := range publishers {
		all.Go(func() {
			ctx, cancel := r.patient()
			defer cancel()
			for i := range n {
				m := number{p + 1, i + 1}.message()
				last, err := bus.PublishStored(ctx, topic, m)
				at[p][i] = transport.Outgoing{Topic: topic, Message: m, Stored: last}
				failed[p] = errors.Join(failed[p], err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		r.Fatalf("Publish: %v", err)
	}
	found := make(map[domain.Position]string)
	for _, e := range f.take(publishers * n) {
		found[e.Position] = string(e.Body)
	}
	for p := range at {
		for _, record := range at[p] {
			if body := string(record.Message.Payload); found[record.At.Position] != body || record.At.Log != f.Log() {
				r.Errorf("the Transport says that %s is at %x of log %x, where %q is",
					body, string(record.At.Position), record.At.Log, found[record.At.Position])
			}
		}
	}
}

// sends publishes records, which the broker must take.
func (r *run) sends(d transport.Driver, records []transport.Outgoing) {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	before := make([]*message.Message, len(records))
	for i := range records {
		before[i] = records[i].Message
	}
	if err := errors.Join(d.Publish(ctx, records)...); err != nil {
		r.Fatalf("Publish: %v", err)
	}
	for i := range records {
		if records[i].Message != before[i] {
			r.Errorf("Publish has replaced the message of record %d", i)
		}
	}
}

// areAt checks that a reader finds the records where they are said to be.
func (r *run) areAt(f *reader, records []transport.Outgoing) {
	r.Helper()
	for i, e := range f.take(len(records)) {
		want := records[i]
		if e.Position != want.At.Position || f.Log() != want.At.Log || string(e.Body) != string(want.Message.Payload) {
			r.Errorf("%s is said to be at %x of log %x; at %x of log %x is %s", want.Message.Payload,
				string(want.At.Position), want.At.Log, string(e.Position), f.Log(), e.Body)
		}
		if age := e.Time.Sub(want.Time); !want.Time.IsZero() && (age < -time.Millisecond || age > time.Millisecond) {
			r.Errorf("an entry has the time %v, and was said to have %v", e.Time, want.Time)
		}
	}
}
