package conformance

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// filled publishes the numbers from 1 to n to a new topic. It returns their
// entries and the position before all of them.
func (r *run) filled(d transport.Driver, topic string, n int) (begin domain.Position, all []domain.Entry) {
	r.Helper()
	f := r.follow(d, topic, "")
	for first := 1; first <= n; first += 200 {
		r.publish(d, topic, numbered(1, first, min(n, first+199))...)
	}
	all = f.take(n)
	r.inOrder("the first reader", all, map[int]int{1: 1})
	r.ascend(all)
	r.closes("a feed", f.Close)
	return f.Begin(), all
}

// replay checks that reading after a position returns exactly what follows it, on
// any node, and that anything that is no position of this log is refused.
func replay(r *run) {
	const n = 600
	d, other, topic := r.driver(), r.driver(), r.topic()
	begin, all := r.filled(d, topic, n)
	log := r.follow(d, topic, "").Log()
	f := r.follow(other, topic, begin)
	if f.Begin() != begin || f.Log() != log {
		r.Errorf("Follow after %x begins at %x; logs %x and %x", string(begin), string(f.Begin()), log, f.Log())
	}
	again := f.take(n)
	r.inOrder("a reader from the beginning", again, map[int]int{1: 1})
	for _, i := range []int{0, 1, 255, 256, n - 2} {
		if again[i].Position != all[i].Position {
			r.Errorf("number %d is at %x, and read again at %x",
				i+1, string(all[i].Position), string(again[i].Position))
		}
		f := r.follow(other, topic, all[i].Position)
		if f.Begin() != all[i].Position {
			r.Errorf("Follow after %x begins at %x", string(all[i].Position), string(f.Begin()))
		}
		r.inOrder("a reader from a position", f.take(min(5, n-1-i)), map[int]int{1: i + 2})
		r.closes("a feed", f.Close)
	}
	end := r.follow(other, topic, all[n-1].Position)
	r.publish(d, topic, number{1, n + 1}.message())
	r.inOrder("a reader from the tail", end.take(1), map[int]int{1: n + 1})

	r.refused(d, topic, "x", "a position of another transport")
	r.refused(d, topic, domain.Position(strings.Repeat("\xff", len(begin))), "the highest position there can be")
	r.refused(d, topic, plus(all[n-1].Position, 1<<20), "a position far beyond the tail")
	r.isAnother(d, log)
}

// isAnother checks that another topic is another log.
func (r *run) isAnother(d transport.Driver, log domain.LogID) {
	r.Helper()
	if other := r.follow(d, r.topic(), "").Log(); other == log {
		r.Errorf("two topics are one log, %x", log)
	}
}

// plus adds to a position as if it were a big-endian number.
func plus(p domain.Position, n uint64) domain.Position {
	b := []byte(p)
	for i := len(b) - 1; i >= 0 && n > 0; i-- {
		n += uint64(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	return domain.Position(b)
}

// since checks that reading from a time returns the entries that are not older, by
// the log's own times.
func since(r *run) {
	d, topic := r.driver(), r.topic()
	log := d.(transport.LogDriver)
	begin := r.follow(d, topic, "").Begin()
	var want []number
	for i := 1; i <= 5; i++ {
		r.publish(d, topic, numbered(1, 2*i-1, 2*i)...)
		pause(5 * time.Millisecond) // the log's times are of milliseconds at best
	}
	all := r.follow(d, topic, begin).take(10)
	if age := time.Since(all[0].Time); age < -time.Minute || age > time.Minute {
		r.Errorf("an entry that was just published has the time %v", all[0].Time)
	}
	for i := 0; i < 10; i += 2 {
		from := all[i].Time
		first := slices.IndexFunc(all, func(e domain.Entry) bool { return !e.Time.Before(from) })
		f := r.followSince(log, topic, from)
		if begins := f.Begin(); begins >= all[first].Position || begins == "" {
			r.Errorf("from the time of %x on it begins at %x", string(all[first].Position), string(begins))
		}
		want = r.numbers(all[first:])
		if got := r.numbers(f.take(len(want))); !slices.Equal(got, want) {
			r.Fatalf("from the time of number %d on come %v, want %v", first+1, got, want)
		}
	}
	early := r.followSince(log, topic, time.Now().Add(-24*time.Hour))
	r.inOrder("a reader from long ago", early.take(10), map[int]int{1: 1})
	later := r.followSince(log, topic, time.Now().Add(time.Hour))
	if later.Begin() < all[9].Position {
		r.Errorf("from the future on it begins at %x, before the tail", string(later.Begin()))
	}
	r.publish(d, topic, number{1, 11}.message())
	r.inOrder("a reader from the future", later.take(1), map[int]int{1: 11})
}

func (r *run) followSince(d transport.LogDriver, topic string, from time.Time) *reader {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	f, err := d.FollowSince(ctx, topic, from)
	if err != nil {
		r.Fatalf("FollowSince: %v", err)
	}
	return r.reads(f)
}

// tail checks that Tail returns the last position, and that one can read on from
// there.
func tail(r *run) {
	d, topic := r.driver(), r.topic()
	empty := r.tail(d, topic)
	r.publish(d, topic, numbered(1, 1, 3)...)
	f := r.follow(d, topic, empty)
	all := f.take(3)
	r.inOrder("a reader from an empty log's tail", all, map[int]int{1: 1})
	if at := r.tail(r.driver(), topic); at != all[2].Position {
		r.Errorf("the tail is %x, but the last entry is at %x", string(at), string(all[2].Position))
	}
	g := r.follow(d, topic, r.tail(d, topic))
	r.publish(d, topic, numbered(1, 4, 4)...)
	r.inOrder("a reader from the tail", g.take(1), map[int]int{1: 4})
}

func (r *run) tail(d transport.Driver, topic string) domain.Position {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	at, err := d.(transport.LogDriver).Tail(ctx, topic)
	if err != nil || at == "" {
		r.Fatalf("Tail: %x, %v", string(at), err)
	}
	return at
}

// seam checks a subscription that begins in the past while others publish. It
// receives the old entries and then the new ones, with none missing and none
// twice.
func seam(r *run) {
	const n, before = 800, 300
	bus, pub, topic := r.bus(), r.driver(), r.topic()
	begin := r.follow(pub, topic, "").Begin()
	half, sent := make(chan struct{}), make(chan error, 1)
	go func() {
		for first := 1; first <= n; first += 10 {
			if err := r.try(pub, topic, numbered(1, first, first+9)...); err != nil {
				sent <- err
				return
			}
			if first+9 == before {
				close(half)
			}
		}
		sent <- nil
	}()
	select {
	case <-half:
	case err := <-sent:
		r.Fatalf("Publish: %v", err)
	}
	in, _ := r.subscribe(bus.BatchesSince(time.Hour), topic)
	start := r.startsWell(r.receive(in))
	var got []domain.Entry
	for len(got) < n {
		m := r.receive(in)
		batch, _ := domain.EntriesFrom(m.Context())
		m.Ack()
		got = append(got, batch...)
	}
	if err := <-sent; err != nil {
		r.Fatalf("Publish: %v", err)
	}
	r.inOrder("a subscription from the past", got, map[int]int{1: 1})
	if len(got) != n {
		r.Errorf("%d entries came, want %d", len(got), n)
	}
	if start.Tail < got[before-1].Position {
		r.Errorf("history is said to end at %x, though number %d was there before, at %x",
			string(start.Tail), before, string(got[before-1].Position))
	}
	for _, after := range []int{0, before, n - 1} {
		r.replays(bus, topic, append([]domain.Position{begin}, positions(got)...), after, n)
	}
}

func positions(entries []domain.Entry) []domain.Position {
	all := make([]domain.Position, len(entries))
	for i := range entries {
		all[i] = entries[i].Position
	}
	return all
}

// replays checks that Replay returns what follows number after, and also what
// came before it if it is called with a time in the past.
func (r *run) replays(bus *transport.Transport, topic string, at []domain.Position, after, n int) {
	r.Helper()
	for _, from := range []time.Time{{}, time.Now().Add(-time.Hour)} {
		var got []domain.Entry
		want, first := n-after, after+1
		if !from.IsZero() {
			want, first = n, 1
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.h.Patience)
		err := bus.Replay(ctx, topic, domain.Location{Position: at[after]}, from, func(batch []domain.Entry) bool {
			got = append(got, batch...)
			return len(got) < want
		})
		cancel()
		if err != nil {
			r.Fatalf("Replay after number %d brought %d of %d entries: %v", after, len(got), want, err)
		}
		r.inOrder("Replay", got, map[int]int{1: first})
	}
}
