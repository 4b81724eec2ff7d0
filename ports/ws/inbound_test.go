package ws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A token that allows a client to attach does not allow it to send to the business
// system: that is a grant of its own, which the answer names.
func TestSendingToTheSystemNeedsItsGrant(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice/mute", "systems=orders,shop")
	c.says(`{"op":"send","ref":1,"system":"orders","data":1}`)
	c.wants(`{"op":"error","ref":1,"code":"forbidden","message":"sending is not granted: it needs orders/inbound"}`)
	c.says(`{"op":"send","ref":2,"system":"orders","to":[],"data":1}`)
	c.wants(`{"op":"error","ref":2,"code":"`)
	c.says(`{"op":"send","ref":3,"system":"shop","data":1}`)
	c.wants(`{"op":"ok","ref":3,"id":"`)
	if got := n.bus.took(); len(got) != 1 || !strings.HasPrefix(got[0], "shop inbound") {
		t.Errorf("the bus took %q", got)
	}
}

// A plain client gets no answers: its session ends with the reason.
func TestPlainClientThatMayNotSendIsToldSo(t *testing.T) {
	n := serve(t, config{})
	c := n.plain("alice/mute", "systems=orders")
	n.deliver("user:alice", "orders", `1`)
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, data, err := c.conn.ReadMessage(); err != nil || string(data) != "1" {
		t.Fatalf("it may listen: %s %v", data, err)
	}
	c.says("hello")
	wantsReason(t, c, session.CloseForbidden, "it needs orders/inbound")
	if got := n.bus.took(); len(got) != 0 {
		t.Errorf("the bus took %q", got)
	}
}

func TestInboundThatIsFullIsAnswered(t *testing.T) {
	n := serve(t, config{})
	v1, plain := n.v1("alice", "systems=orders"), n.plain("bob", "systems=orders")
	n.bus.fail(domain.ErrInboundFull)
	v1.says(`{"op":"send","ref":1,"system":"orders","data":1}`)
	v1.wants(`{"op":"error","ref":1,"code":"rate_limited","message":"what was sent to the system before is not consumed yet`)
	plain.says("hello")
	wantsReason(t, plain, session.CloseTryLater, "not consumed yet")
	n.bus.fail(nil)
	v1.says(`{"op":"send","ref":2,"system":"orders","data":1}`)
	v1.wants(`{"op":"ok","ref":2,"id":"`)
}

func wantsReason(t *testing.T, c *client, code int, reason string) {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	_, _, err := c.conn.ReadMessage()
	if end, ok := err.(*websocket.CloseError); !ok || end.Code != code || !strings.Contains(end.Text, reason) {
		t.Errorf("it ended with %v, want %d and %q", err, code, reason)
	}
}
