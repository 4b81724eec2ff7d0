package conformance

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// fanOut checks that every follower receives the messages of every publisher, and
// of its own topic only.
func fanOut(r *run) {
	one, two, topic, elsewhere := r.driver(), r.driver(), r.topic(), r.topic()
	followers := map[string]*reader{
		"the first of a node":  r.follow(one, topic, ""),
		"the second of a node": r.follow(one, topic, ""),
		"another node":         r.follow(two, topic, ""),
	}
	other := r.follow(two, elsewhere, "")
	r.publish(two, elsewhere, numbered(3, 1, 1)...)
	r.publish(one, topic, numbered(1, 1, 50)...)
	r.publish(two, topic, numbered(2, 1, 50)...)
	r.publish(two, elsewhere, numbered(3, 2, 2)...)
	for who, f := range followers {
		got := f.take(100)
		r.inOrder(who, got, map[int]int{1: 1, 2: 1})
		r.ascend(got)
	}
	r.inOrder("another topic", other.take(2), map[int]int{3: 1})
}

// order checks that one publisher's messages come in order and once, in batches of
// the allowed size.
func order(r *run) {
	d, pub, topic := r.driver(), r.driver(), r.topic()
	f := r.follow(d, topic, "")
	const n = 1000
	sent := make(chan error, 1)
	go func() {
		for first, size := 1, 1; first <= n; first, size = first+size, size%150+7 {
			if err := r.try(pub, topic, numbered(1, first, min(n, first+size-1))...); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	got := f.take(n)
	if err := <-sent; err != nil {
		r.Fatalf("Publish: %v", err)
	}
	r.inOrder("the follower", got, map[int]int{1: 1})
	r.ascend(got)
	// If an entry at the end comes twice, the repetition comes before this one.
	r.publish(pub, topic, numbered(1, n+1, n+1)...)
	r.inOrder("the follower", f.take(1), map[int]int{1: n + 1})
}

// totalOrder lets several publishers publish at the same time. Every reader must
// see the order of each publisher. If a total order is claimed, all readers must
// see the same order.
func totalOrder(r *run) {
	const publishers, n = 4, 200
	topic := r.topic()
	var readers []*reader
	for range 3 {
		readers = append(readers, r.follow(r.driver(), topic, ""))
	}
	var all sync.WaitGroup
	errs, first := make([]error, publishers), make(map[int]int)
	for p := range publishers {
		pub := r.driver()
		first[p] = 1
		all.Go(func() {
			for i := 1; i <= n && errs[p] == nil; i += 5 {
				errs[p] = r.try(pub, topic, numbered(p, i, i+4)...)
			}
		})
	}
	var orders [][]number
	for _, f := range readers {
		got := f.take(publishers * n)
		r.inOrder("a reader", got, first)
		orders = append(orders, r.numbers(got))
	}
	all.Wait()
	for p, err := range errs {
		if err != nil {
			r.Fatalf("publisher %d: %v", p, err)
		}
	}
	same := slices.Equal(orders[0], orders[1]) && slices.Equal(orders[0], orders[2])
	switch {
	case r.claims.TotalOrder && !same:
		r.Errorf("claims one order for all, but readers saw different ones")
	case !r.claims.TotalOrder && same:
		r.report.beyond("all readers saw several publishers in one order this time")
	case !same:
		r.report.cannot("show several publishers' messages to all readers in one order")
	}
}

// firstMessage checks that a message is not missed if it is published right after
// Follow or Subscribe has returned, and that nothing older comes.
func firstMessage(r *run) {
	pub, d, bus, topic := r.driver(), r.driver(), r.bus(), r.topic()
	n := 0
	publishNext := func() []domain.Entry {
		n++
		r.publish(pub, topic, number{1, n}.message())
		return []domain.Entry{{Body: number{1, n}.body()}}
	}
	for range 10 {
		f := r.follow(d, topic, "")
		want := r.numbers(publishNext())
		if got := r.numbers(f.take(1)); got[0] != want[0] {
			r.Fatalf("the first that came after Follow is %v, want %v", got[0], want[0])
		}
		r.closes("a feed", f.Close)

		in, leave := r.subscribe(bus, topic)
		want = r.numbers(publishNext())
		m := r.receive(in)
		if got, _ := parseNumber(m.Payload); got != want[0] {
			r.Fatalf("the first that came after Subscribe is %v, want %v", got, want[0])
		}
		m.Ack()
		leave()
	}
}

// slowReader checks that a subscriber that does not read holds up neither
// publishers nor other readers.
func slowReader(r *run) {
	bus, pub, topic := r.bus(), r.driver(), r.topic()
	slow, _ := r.subscribe(bus.Batches(), topic)
	idle := r.receive(slow) // its Start, which it never acks
	f := r.follow(r.driver(), topic, "")
	const n = 1500
	for first := 1; first <= n; first += 100 {
		r.publish(pub, topic, numbered(1, first, first+99)...)
	}
	r.inOrder("the quick reader", f.take(n), map[int]int{1: 1})

	idle.Ack() // from now on it catches up, or is told a gap
	h := newHistory()
	for h.last(1) < n {
		m := r.receive(slow)
		h.record(m)
		m.Ack()
	}
	h.check(r, 1, n, nil)
}

// faces checks that subscribers receive the same as single messages and as
// batches. What they nack comes again, and what they ack does not.
func faces(r *run) {
	bus, pub, topic := r.bus(), r.driver(), r.topic()
	single, _ := r.subscribe(bus, topic)
	batches, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(batches))
	const n = 20
	msgs := framed(1, n)
	r.publish(pub, topic, msgs...)
	shuffle := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < n; {
		m := r.receive(single)
		if got, _ := parseNumber(m.Payload); got.n != i+1 || m.UUID != msgs[i].UUID || m.Metadata.Get("k") != "v" {
			r.Fatalf("message %d is %q with UUID %q and metadata %v", i+1, m.Payload, m.UUID, m.Metadata)
		}
		if shuffle.IntN(4) == 0 {
			m.Nack() // it must come again, before any other
			continue
		}
		m.Ack()
		r.isOver(m.Context(), "a message that was acked")
		i++
	}
	var got []domain.Entry
	for len(got) < n {
		m := r.receive(batches)
		batch, _ := domain.EntriesFrom(m.Context())
		m.Nack()
		again := r.receive(batches)
		if same, _ := domain.EntriesFrom(again.Context()); len(same) != len(batch) {
			r.Fatalf("a batch of %d entries that was nacked came again with %d", len(batch), len(same))
		}
		again.Ack()
		got = append(got, batch...)
	}
	r.inOrder("the batch face", got, map[int]int{0: 1})
	if len(got) != n {
		r.Errorf("%d entries came, want %d", len(got), n)
	}
}

// startsWell checks that a subscription's first batch says where it starts.
func (r *run) startsWell(m *message.Message) domain.Entry {
	r.Helper()
	batch, _ := domain.EntriesFrom(m.Context())
	if len(batch) != 1 || batch[0].Kind != domain.Start {
		r.Fatalf("the first batch is %+v, want a Start", batch)
	}
	if r.claims.Log && (batch[0].Log == 0 || batch[0].Position == "") {
		r.Errorf("the Start has log %d and position %x", batch[0].Log, string(batch[0].Position))
	}
	m.Ack()
	return batch[0]
}

func (r *run) isOver(ctx context.Context, what string) {
	r.Helper()
	if !r.soon(func() bool { return ctx.Err() != nil }) {
		r.Errorf("the context of %s does not end", what)
	}
}
