package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// membership puts alice into a room, on all of her devices.
func (p *controlled) membership(t *testing.T, log bool) {
	const path = "/v1/systems/orders/rooms/vip/members"
	alice := p.pass("alice", nil)
	phone := p.mustConnect(t, overV1, p.nodes[0].addr, alice, "")
	plain := p.mustConnect(t, overPlain, p.nodes[1].addr, alice, "")
	page := p.mustConnect(t, overSSE, p.nodes[2].addr, alice, "")
	herself := p.mustConnect(t, overV1, p.nodes[2].addr, alice, "&rooms=orders/vip")
	bob := p.mustConnect(t, overV1, p.nodes[2].addr, p.pass("bob", nil), "")
	p.everywhere(t, p.front, http.MethodPut, path+"/alice", `{"ttl":3600}`)
	joined := func(n notice) bool {
		return n.Op == "joined" && n.System == "orders" && n.Room == "vip" && n.By == "server"
	}
	left := func(n notice) bool { return n.Op == "left" && n.Room == "vip" && n.Reason == "server" }
	hears := func(number int, devices ...*guest) (last notice) {
		t.Helper()
		for _, d := range devices {
			last = d.wants(t, fmt.Sprintf("number %d", number), isNumber(number))
		}
		return last
	}
	phone.wants(t, "joined", joined)
	page.wants(t, "joined", joined)
	p.publish(t, "room:vip", 1)
	hears(1, phone, plain, page, herself)
	later := p.mustConnect(t, overV1, p.nodes[1].addr, alice, "")
	later.wants(t, "joined", joined)
	p.publish(t, "room:vip", 2)
	cursor := hears(2, plain, page, herself, later, phone).Cursor

	must(t, later.send(`{"op":"leave","ref":7,"system":"orders","room":"vip"}`))
	later.wants(t, "that it cannot leave", func(n notice) bool { return n.Op == "error" && string(n.Code) == `"forbidden"` })
	phone.shut()
	p.publish(t, "room:vip", 3)
	p.publish(t, "room:vip", 4)
	hears(4, plain, page, herself, later)
	phone = p.mustConnect(t, overV1, p.nodes[2].addr, alice, "&resume=orders:"+cursor)
	phone.wants(t, "joined", joined)
	if _, gap := phone.heard(isOp("gap")); log || !gap {
		resumesWithoutLoss(t, phone, log)
	}

	var members struct{ Members []struct{ User string } }
	if err := p.read(p.nodes[1].addr, path, &members); err != nil || len(members.Members) != 1 || members.Members[0].User != "alice" {
		t.Errorf("the members are %+v, %v", members, err)
	}
	p.everywhere(t, p.nodes[1].addr, http.MethodDelete, path+"/alice", "")
	for _, d := range []*guest{phone, page, later} {
		d.wants(t, "left", left)
	}
	p.publish(t, "room:vip", 5)
	p.publish(t, "user:alice", 6)
	hears(6, phone, plain, page, later, herself)
	hears(5, herself) // its token grants the room, and it had joined by itself
	for _, d := range []*guest{phone, plain, page, later} {
		if _, ok := d.heard(isNumber(5)); ok {
			t.Error(d.fault("got a message of the room after it had left"))
		}
	}
	for _, number := range []int{1, 2, 3, 4, 5} {
		if n, ok := bob.heard(isNumber(number)); ok {
			t.Errorf("bob is no member, and got %+v", n)
		}
	}
}

// resumesWithoutLoss wants a device that came back to get what it has missed.
func resumesWithoutLoss(t *testing.T, d *guest, log bool) {
	t.Helper()
	if !log { // what was not in the window is a gap, which is told sooner or later
		d.wants(t, "number 4, or a gap", func(n notice) bool { return isNumber(4)(n) || n.Op == "gap" })
		return
	}
	d.wants(t, "number 4", isNumber(4))
	d.mu.Lock()
	defer d.mu.Unlock()
	var numbers []string
	for _, n := range d.told {
		switch n.Op {
		case "message":
			numbers = append(numbers, string(n.Data))
		case "gap":
			t.Errorf("%s was told %+v", d.what, n)
		}
	}
	if !slices.Equal(numbers, []string{"3", "4"}) {
		t.Errorf("%s got %v after it had come back, want 3 and 4", d.what, numbers)
	}
}
