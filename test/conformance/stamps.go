package conformance

import (
	"context"
	"slices"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A dropper is a driver that loses one of the numbers that it is to publish, and
// says that it was taken.
type dropper struct {
	transport.Driver
	drops func(n int) bool
}

func (d dropper) Publish(ctx context.Context, records []transport.Outgoing) []error {
	return d.Driver.Publish(ctx, slices.DeleteFunc(slices.Clone(records), d.lost))
}

// lost looks behind the stamp, which is an object's first field.
func (d dropper) lost(o transport.Outgoing) bool {
	body := string(o.Message.Payload)
	for i := range body {
		if n, ok := parseNumber([]byte("{" + body[i:])); ok {
			return d.drops(n.n)
		}
	}
	return false
}

// stamps: what our publishers send is numbered, the numbers come through, and a
// hole in them is a break, also at the end, where a mark tells.
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
	h := r.hears(in, func(h *history) bool { return h.last(1) == 7 && h.breaks == 2 })
	h.check(r, 1, 8, nil)
	if holes := bus.Stats().Missing; holes != 2 {
		r.Errorf("%d holes were counted, want 2", holes)
	}
}
