package router_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
)

// A tracer keeps what it is told.
type tracer struct{ got []domain.Delivery }

func (t *tracer) Deliver(d domain.Delivery) { t.got = append(t.got, d) }

func (*tracer) Publish(_ context.Context, _ domain.System, _ string, msgs []*domain.Message) ([]*domain.Message, func(error)) {
	return msgs, func(error) {}
}

func TestDeliveriesOfTracesThatAreSampledAreRecorded(t *testing.T) {
	const sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	synctest.Test(t, func(t *testing.T) {
		bus, spans := newBus(), &tracer{}
		bus.tail = "00000001"
		r := start(t, bus, router.Config{Tracer: spans})
		orders := stream.New(system(t, "orders"), stream.Config{HasLog: true, Traced: true})
		if err := r.Open(orders); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// What the log held before the node began is not news.
		bus.confirm("orders")
		bus.send("orders", record(1, `{"to":"*","id":"old","traceparent":"`+sampled+`"}`))
		synctest.Wait()
		<-orders.Ready()
		listen(orders, "user:alice")
		listen(orders, "user:alice")
		read := time.Now().Add(-time.Second)
		entry := func(at int, rest string) domain.Entry {
			e := record(at, fmt.Sprintf(`{"to":"user:alice","data":1,%s}`, rest))
			e.Read = read
			return e
		}
		traced := `"traceparent":"` + sampled + `"`
		late := entry(5, `"id":"late","ttl":1,`+traced)
		late.Time = time.Now().Add(-time.Minute)
		bus.send("orders",
			entry(2, `"id":"a"`), entry(3, `"id":"b","traceparent":"`+sampled[:53]+`00"`),
			entry(4, `"id":"c",`+traced), late, entry(6, `"id":"c",`+traced), record(7, `{"to":`), entry(8, traced))
		synctest.Wait()
		want := domain.Delivery{System: orders.System(), Topic: spans.got[0].Topic, ID: "c", Traceparent: sampled,
			Size: 1, Read: read, Done: time.Now(), Outcome: domain.Outcome{Offered: 2}}
		expired, again, unnamed := want, want, want
		expired.ID, expired.Outcome = "late", domain.Outcome{Expired: true}
		again.Outcome = domain.Outcome{Duplicate: true}
		unnamed.ID = spans.got[len(spans.got)-1].ID
		if diff := cmp.Diff([]domain.Delivery{want, expired, again, unnamed}, spans.got, cmp.Comparer(func(a, b domain.System) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		if unnamed.ID == "" || want.Topic == "" {
			t.Errorf("a span has no id, or no topic: %+v", spans.got)
		}
	})
}
