package conformance

import (
	"errors"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// back checks that what is read from the position of Back on begins with exactly as many
// entries as were asked for.
func back(r *run) {
	const n = 300
	d, topic := r.driver(), r.topic()
	log := r.rewinder(d)
	if log == nil {
		return
	}
	if at, start := r.back(log, r.topic(), "", 5); at == "" || !start {
		r.Errorf("Back in a topic without entries: %x, start %v", string(at), start)
	}
	_, all := r.filled(d, topic, n)
	for _, newest := range []int{1, 2, 150, n} {
		for _, count := range []int{1, 2, 16, 17, newest - 1, newest, newest + 1, 10 * n} {
			if count < 1 {
				continue
			}
			upTo := all[newest-1].Position
			if newest == n && count%2 == 0 {
				upTo = "" // which is the same
			}
			r.goesBack(d, topic, upTo, newest, count, 1)
		}
	}
	ctx, cancel := r.patient()
	defer cancel()
	lost := (*domain.GapError)(nil)
	if at, _, err := log.Back(ctx, topic, "x", 1); !errors.As(err, &lost) {
		r.Errorf("Back from a position of another transport: want a *GapError, got %x, %v", string(at), err)
	}
}

// backTrimmed checks that Back ends at the oldest entry that was not trimmed, and that one
// can read on from there.
func backTrimmed(r *run) {
	d, topic := r.driver(), r.topic()
	if r.rewinder(d) == nil {
		return
	}
	_, all := r.filled(d, topic, 20)
	r.h.Trim(r.TB, topic, 8) // 13 to 20 are left
	for _, count := range []int{3, 7, 8, 9, 100} {
		r.goesBack(d, topic, "", 20, count, 13)
		r.goesBack(d, topic, all[15].Position, 16, count, 13)
	}
	r.goesBack(d, topic, all[4].Position, 5, 2, 13)
	r.h.Trim(r.TB, topic, 0)
	at, start := r.back(d.(transport.Rewinder), topic, "", 5)
	if !start {
		r.Errorf("a log that was emptied has 5 entries")
	}
	f := r.follow(d, topic, at)
	r.publish(d, topic, number{1, 21}.message())
	r.inOrder("a reader of a log that was emptied", f.take(1), map[int]int{1: 21})
}

// rewinder returns the driver if it is a Rewinder. If not, the report says so.
func (r *run) rewinder(d transport.Driver) transport.Rewinder {
	log, ok := d.(transport.Rewinder)
	if !ok {
		r.report.cannot("be read backwards: messages before a node's window are not listed")
		return nil
	}
	return log
}

// goesBack checks that Back finds the count entries up to the number newest, of a log whose
// oldest number is oldest.
func (r *run) goesBack(
	d transport.Driver, topic string, upTo domain.Position, newest, count, oldest int,
) {
	r.Helper()
	at, start := r.back(d.(transport.Rewinder), topic, upTo, count)
	first := max(newest-count+1, oldest)
	if want := newest-count+1 < oldest; start != want {
		r.Errorf("of %d entries back from number %d: start is %v, and %d is the oldest",
			count, newest, start, oldest)
	}
	f := r.follow(d, topic, at)
	r.inOrder("a reader from some entries back", f.take(1), map[int]int{1: first})
	r.closes("a feed", f.Close)
}

func (r *run) back(
	log transport.Rewinder, topic string, upTo domain.Position, n int,
) (at domain.Position, start bool) {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	at, start, err := log.Back(ctx, topic, upTo, n)
	if err != nil {
		r.Fatalf("Back by %d from %x: %v", n, string(upTo), err)
	}
	return at, start
}
