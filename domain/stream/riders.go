package stream

import (
	"cmp"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// takeAlong lets a session ride along that waits at its cursor, if the reading
// passes that.
func (b *Backfill) takeAlong(a *Attachment) bool {
	if !b.passes(a.since) {
		return false
	}
	r := &ride{of: a, on: b}
	a.ride = r
	for _, m := range a.members {
		if a.joining == nil || m == a.joining {
			r.want(m)
		}
	}
	b.riders = append(b.riders, a)
	i, _ := slices.BinarySearchFunc(b.boarding, r, func(other, r *ride) int {
		return cmp.Or(cmp.Compare(other.of.since.Position, r.of.since.Position), -1)
	})
	b.boarding = slices.Insert(b.boarding, i, r)
	return true
}

// leaveBehind ends the rides of sessions whose cursors still lie ahead at the end
// of a turn. They need not wait for those that were away for longer.
func (b *Backfill) leaveBehind() {
	ahead := slices.DeleteFunc(slices.Clone(b.boarding), func(r *ride) bool {
		return r.of.since.Position <= b.start.Position
	})
	b.letOff(ahead)
	for _, r := range ahead {
		r.getOff(b.at, "")
	}
}

// letOff is ride.leave for many at once, which would cost the square of their
// number one by one.
func (b *Backfill) letOff(rides []*ride) {
	for _, r := range rides {
		r.on = nil
	}
	hasLeft := func(r *ride) bool { return r.on == nil }
	b.riders = slices.DeleteFunc(b.riders, func(a *Attachment) bool { return hasLeft(a.ride) })
	b.boarding = slices.DeleteFunc(b.boarding, hasLeft)
	for t, all := range b.wanted {
		if b.wanted[t] = slices.DeleteFunc(all, hasLeft); len(b.wanted[t]) == 0 {
			delete(b.wanted, t)
		}
	}
}

// letOnBefore lets riders board whose cursors are before a position.
func (b *Backfill) letOnBefore(p domain.Position) {
	for len(b.boarding) > 0 && b.boarding[0].of.since.Position < p {
		b.boarding[0].boarded = true
		b.boarding = b.boarding[1:]
	}
}

// letOn lets riders board whose cursors are at or before a position, at which m
// is; nil if that is not known. A cursor that names another message there is none
// of this log.
func (b *Backfill) letOn(p domain.Position, m *domain.Message) {
	b.letOnBefore(p)
	for len(b.boarding) > 0 && b.boarding[0].of.since.Position == p {
		r := b.boarding[0]
		b.boarding = b.boarding[1:]
		r.boarded = true
		if id := r.of.since.ID; m != nil && id != 0 && id != domain.HashID(m.ID) {
			r.getOff(r.of.since, domain.UnknownCursor)
		}
	}
}
