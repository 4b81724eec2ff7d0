package receipts_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/test/cluster"
)

type result struct {
	status int
	report control.ReceiptReport
}

// publishing publishes and waits, beside the test.
func publishing(t *testing.T, c *cluster.Cluster, n *cluster.Node, query string, to ...string) <-chan result {
	done := make(chan result, 1)
	go func() {
		status, r := publish(t, c, n, query, to...)
		done <- result{status, r}
	}()
	return done
}

func TestPublisherLearnsThatTheClientHasHandledIt(t *testing.T) {
	onBuses(t, func(t *testing.T, c *cluster.Cluster) {
		alice := open(t, c, c.Node(1), "alice", "")
		phone := open(t, c, c.Node(2), "alice", "")
		done := publishing(t, c, c.Node(0), "?wait=acked:30s", "user:alice")
		alice.message()
		phone.message()
		alice.ack(alice.cursor)
		got := <-done
		if got.status != http.StatusOK || !stateIs(control.FateAcked)(got.report) {
			t.Fatalf("%d %+v", got.status, got.report)
		}
		for _, n := range c.Nodes() {
			r := until(t, c, n, got.report.ID, func(r control.ReceiptReport) bool { return r.Complete })
			target := r.Receipts[0]
			if !r.Complete || target.State != control.FateAcked || target.Counts[control.FateAcked] != 1 ||
				target.Counts[control.FateWritten] != 1 || len(target.Sessions) != 2 {
				t.Errorf("%s says %+v", n.Name(), r)
			}
			for _, s := range target.Sessions {
				if s.Session == alice.session && (s.Node != "n1" || s.State != control.FateAcked || s.Acked.IsZero()) ||
					s.Session == phone.session && (s.Node != "n2" || s.State != control.FateWritten || s.Written.IsZero()) {
					t.Errorf("%s says of a session %+v", n.Name(), s)
				}
			}
		}
	})
}

func TestKilledClientIsNeverAcked(t *testing.T) {
	onBuses(t, func(t *testing.T, c *cluster.Cluster) {
		alice := open(t, c, c.Node(1), "alice", "")
		done := publishing(t, c, c.Node(0), "?wait=written:30s", "user:alice")
		alice.message()
		first := (<-done).report
		if !stateIs(control.FateWritten)(first) {
			t.Fatalf("it is not written: %+v", first)
		}
		alice.ack(alice.cursor)
		until(t, c, c.Node(0), first.ID, stateIs(control.FateAcked))
		done = publishing(t, c, c.Node(0), "?wait=written:30s", "user:alice")
		alice.message()
		alice.kill()
		second := (<-done).report
		ended := func(r control.ReceiptReport) bool {
			return len(r.Receipts[0].Sessions) == 1 && !r.Receipts[0].Sessions[0].Ended.IsZero()
		}
		until(t, c, c.Node(0), second.ID, ended)
		open(t, c, c.Node(1), "alice", "") // the new session has nothing to do with the old one
		for _, n := range c.Nodes() {
			if r := receipts(t, c, n, second.ID, ""); !stateIs(control.FateWritten)(r) || !ended(r) {
				t.Errorf("%s says of the message that nobody has handled: %+v", n.Name(), r)
			}
			if r := receipts(t, c, n, first.ID, ""); !stateIs(control.FateAcked)(r) {
				t.Errorf("%s says of the message that was handled: %+v", n.Name(), r)
			}
		}
	})
}

func TestMarksOutliveTheirNode(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 3)
	alice := open(t, c, c.Node(1), "alice", "")
	done := publishing(t, c, c.Node(0), "?wait=acked:30s", "user:alice")
	alice.message()
	alice.ack(alice.cursor)
	acked := (<-done).report
	done = publishing(t, c, c.Node(0), "?wait=written:30s", "user:alice")
	alice.message()
	written := (<-done).report
	saysMarks(t, c, c.Node(1))
	c.Node(1).Crash()
	for _, n := range []*cluster.Node{c.Node(0), c.Node(2)} {
		until(t, c, n, acked.ID, func(r control.ReceiptReport) bool {
			return stateIs(control.FateAcked)(r) && r.Receipts[0].Sessions[0].Node == "n1" && len(r.Silent) == 0
		})
		r := until(t, c, n, written.ID, func(r control.ReceiptReport) bool { return len(r.Silent) == 0 })
		// That the second message was written may not have been said any more.
		if s := r.Receipts[0].State; s != control.FateWritten && s != control.FateUnknown {
			t.Errorf("%s says of the second message: %+v", n.Name(), r)
		}
		if len(r.Lost) != 1 || r.Complete {
			t.Errorf("%s does not say that a node was lost: %+v", n.Name(), r)
		}
	}
}

func TestWaitEndsWithItsTime(t *testing.T) {
	onBuses(t, func(t *testing.T, c *cluster.Cluster) {
		alice := open(t, c, c.Node(1), "alice", "")
		for wait := 300 * time.Millisecond; ; wait *= 2 { // on a busy machine it is not written so soon
			status, r := publish(t, c, c.Node(0), fmt.Sprint("?wait=acked:", wait), "user:alice", "user:bob")
			alice.message()
			if status == http.StatusOK && r.Receipts[0].State == control.FateWritten {
				if r.Receipts[1].State != control.FateNoSession && r.Complete {
					t.Errorf("%+v", r)
				}
				return
			}
			if status != http.StatusOK || r.Receipts[0].State == control.FateAcked || 2*wait > patience {
				t.Fatalf("%d %+v", status, r)
			}
		}
	})
}

func TestForeignAndOlderCursorsAcknowledgeNothing(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1)
	n := c.Node(0)
	bob := open(t, c, n, "bob", "")
	alice := open(t, c, n, "alice", "")
	_, first := publish(t, c, n, "?wait=written:30s", "user:alice")
	alice.message()
	older := alice.cursor
	_, second := publish(t, c, n, "?wait=written:30s", "user:alice")
	alice.message()
	alice.ack(alice.cursor)
	alice.ack(older)
	until(t, c, n, second.ID, stateIs(control.FateAcked))
	_, third := publish(t, c, n, "?wait=written:30s", "user:bob")
	bob.message()
	_, fourth := publish(t, c, n, "?wait=written:30s", "user:alice")
	alice.ack(bob.cursor) // it is between alice's messages
	bob.ack("nonsense")
	if op := bob.next("error"); op["code"] != "invalid" {
		t.Errorf("a cursor that is none is answered %v", op)
	}
	alice.message()
	alice.ack("AWNlbnR1cmllc19mcm9tX25vd19fX19fX19fX19f") // of no log that is known
	alice.ack("nonsense")
	alice.next("error") // what was said before that has been read
	for id, want := range map[string]control.Fate{
		first.ID: control.FateAcked, second.ID: control.FateAcked, third.ID: control.FateWritten, fourth.ID: control.FateWritten,
	} {
		if r := receipts(t, c, n, id, ""); !stateIs(want)(r) {
			t.Errorf("want %s: %+v", want, r)
		}
	}
}

func TestReceiptsOfRoomsAndOfEveryone(t *testing.T) {
	onBuses(t, func(t *testing.T, c *cluster.Cluster) {
		var all []*device
		for i := range 3 {
			all = append(all, open(t, c, c.Node(i), "alice", "&rooms=orders/kitchen"))
			open(t, c, c.Node(i), "bob", "")
		}
		_, r := publish(t, c, c.Node(0), "?wait=written:30s", "room:kitchen", "*", "user:alice")
		for _, d := range all {
			d.message()
		}
		all[2].ack(all[2].cursor)
		r = until(t, c, c.Node(1), r.ID, func(r control.ReceiptReport) bool {
			room, everyone := r.Receipts[0].Counts, r.Receipts[1].Counts
			return room[control.FateAcked] == 1 && room[control.FateWritten] == 2 &&
				everyone[control.FateAcked] == 1 && everyone[control.FateWritten] == 5 && r.Complete
		})
		if r.Receipts[0].State != "" || r.Receipts[1].State != "" {
			t.Errorf("rooms have states: %+v", r)
		}
		late := open(t, c, c.Node(0), "carol", "&rooms=orders/kitchen")
		seen := map[string]bool{}
		for after, pages := "", 0; pages < 10; pages++ {
			page := receipts(t, c, c.Node(1), r.ID, "?limit=2&after="+after)
			for _, s := range page.Receipts[1].Sessions {
				if seen[s.Session] || s.Session == late.session {
					t.Errorf("%s is in two pages, or came too late", s.Session)
				}
				seen[s.Session] = true
			}
			if after = page.Receipts[1].Next; after == "" {
				break
			}
		}
		if len(seen) != 6 {
			t.Errorf("the pages have %d of 6 sessions", len(seen))
		}
	})
}

func TestRequestsThatCannotBeWaitedFor(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1)
	for _, q := range []struct{ query, body string }{
		{"?wait=2s", `{"to":"user:a","data":1}`},
		{"?wait=acked:1h", `{"to":"user:a","data":1}`},
		{"?wait=read:2s", `{"to":"user:a","data":1}`},
		{"?wait=acked:2s", `[{"to":"user:a","data":1}]`},
		{"?wait=acked:2s", `{"to":"room:a","data":1}`},
	} {
		if status, _ := ask(t, c, "POST", c.Node(0).URL()+"/v1/systems/orders/messages"+q.query, q.body); status != 422 {
			t.Errorf("%s %s is answered %d", q.query, q.body, status)
		}
	}
	if status, _ := ask(t, c, "GET", c.Node(0).URL()+"/v1/systems/orders/messages/none/receipts", ""); status != 404 {
		t.Errorf("of a message that is none: %d", status)
	}
}
