package conformance

import (
	"context"
	"slices"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A dropper is a driver that does not publish some of the numbers, and reports
// success for them.
type dropper struct {
	transport.Driver
	drops func(n int) bool
}

func (d dropper) Publish(ctx context.Context, records []transport.Outgoing) []error {
	return d.Driver.Publish(ctx, slices.DeleteFunc(slices.Clone(records), d.isDropped))
}

// isDropped looks for a number after the stamp, which is the first field of the
// object.
func (d dropper) isDropped(o transport.Outgoing) bool {
	body := string(o.Message.Payload)
	for i := range body {
		if n, ok := parseNumber([]byte("{" + body[i:])); ok {
			return d.drops(n.n)
		}
	}
	return false
}

// stamps checks that Fanfare's publishers number what they send, that the numbers
// arrive, and that a missing number becomes a gap. That holds for a publisher's
// last message as well, by the mark that it writes when it is idle.
func stamps(r *run) {
	bus, topic := r.bus(), r.topic()
	in, _ := r.subscribe(bus.Batches(), topic)
	r.startsWell(r.receive(in))
	pub := r.busOver(dropper{r.h.Open(r.TB), func(n int) bool { return n == 4 || n == 8 }})
	for n := 1; n <= 8; n++ {
		if err := pub.Publish(topic, number{1, n}.message()); err != nil {
			r.Fatalf("Publish: %v", err)
		}
	}
	h := r.collect(in, func(h *history) bool { return h.last(1) == 7 && h.gaps == 2 })
	h.check(r, 1, 8, nil)
	if missing := bus.Stats().Missing; missing != 2 {
		r.Errorf("%d missing sequences were counted, want 2", missing)
	}
}
