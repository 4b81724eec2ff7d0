package clientkit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

var rooms = []Scenario{{
	Name: "join", Topic: "Rooms",
	Rules: []string{
		"`join` and `leave` hold on later connections, too: name the rooms that you are in in the address.",
		"Tell your user how each op was answered: `ok`, or the code of `error`. `busy` passes: ask again " +
			"after a moment.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		c := p.begin(nil)
		p.event("open")
		kitchen := p.do("join", Op{"system": "orders", "room": "kitchen"})
		o := p.hears(c, "join", Op{"system": "orders", "room": "kitchen"})
		c.say(Op{"op": "error", "ref": o["ref"], "code": "busy", "message": "finding a cursor"})
		o = p.hears(c, "join", Op{"system": "orders", "room": "kitchen"})
		c.say(Op{"op": "ok", "ref": o["ref"]})
		p.succeeds(kitchen)
		vault := p.do("join", Op{"system": "orders", "room": "vault"})
		o = p.hears(c, "join", Op{"room": "vault"})
		c.say(Op{"op": "error", "ref": o["ref"], "code": "forbidden", "message": "no"})
		p.fails(vault, "forbidden")
		c.breakOff()
		c = p.greet()
		p.inRooms(c.Visit, "orders/kitchen")
		left := p.do("leave", Op{"system": "orders", "room": "kitchen"})
		o = p.hears(c, "leave", Op{"room": "kitchen"})
		c.say(Op{"op": "ok", "ref": o["ref"]})
		p.succeeds(left)
		c.breakOff()
		p.inRooms(p.visitAndGreet())
	},
}, {
	Name: "join-since", Topic: "Rooms",
	Rules: []string{
		"A `join` with `since` brings what the room had after that cursor, in messages without cursors, " +
			"and then `ok`. " +
			"If the connection is lost before the answer, join again with the same `since`.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		c := p.begin(nil)
		p.event("open")
		ref := p.do("join", Op{"system": "orders", "room": "lobby", "since": cursor(3)})
		p.hears(c, "join", Op{"room": "lobby", "since": cursor(3)})
		c.breakOff()
		c = p.greet()
		p.inRooms(c.Visit)
		o := p.hears(c, "join", Op{"room": "lobby", "since": cursor(3)})
		c.say(without(message(4), "cursor"), Op{"op": "ok", "ref": o["ref"]}, message(5))
		p.messages(4, 5)
		p.succeeds(ref)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(5))
	},
}, {
	Name: "membership", Topic: "Rooms",
	Rules: []string{
		"`joined` says that the server has put the session into a room. You need not ask for it when you " +
			"come back.",
		"`left` says that the session was taken out of a room or, without `room`, of a system with all " +
			"its rooms. Do not " +
			"ask for these again.",
	},
	play: func(p *play) {
		c := p.begin(Op{
			"systems": []string{"orders", "chat"},
			"rooms":   []string{"orders/lobby", "orders/vault", "chat/lobby"},
		})
		c.say(Op{"op": "joined", "system": "orders", "room": "members", "by": "server"})
		p.told("joined", Op{"system": "orders", "room": "members", "by": "server"})
		c.say(Op{"op": "left", "system": "orders", "room": "members", "reason": "server"})
		p.told("left", Op{"system": "orders", "room": "members", "reason": "server"})
		c.say(
			Op{"op": "left", "system": "orders", "room": "vault", "reason": "token"},
			Op{"op": "left", "system": "chat", "reason": "token"},
		)
		p.told("left", Op{"system": "orders", "room": "vault", "reason": "token"})
		p.told("left", Op{"system": "chat", "reason": "token"})
		c.breakOff()
		v := p.visitAndGreet()
		p.inRooms(v, "orders/lobby")
		if got := v.systems(); !slices.Equal(got, []string{"orders"}) {
			p.fail("it asks for the systems %v; want orders alone", got)
		}
	},
}, {
	Name: "many-rooms", Topic: "Rooms",
	Rules: []string{
		"Addresses of more than 8 KiB do not pass many proxies. Join rooms that do not fit with ops, " +
			"`since` the cursor " +
			"that you resumed with, or else `hello`'s.",
		"Until these are answered, the cursors that your user saves must not move: what these rooms " +
			"missed would be lost.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		wanted := map[string]bool{}
		var all []string
		for i := range 90 {
			name := fmt.Sprintf("room-%02d-%s", i, strings.Repeat("with-a-long-name-", 5))
			wanted[name] = true
			all = append(all, "orders/"+name)
		}
		c := p.begin(Op{"rooms": all, "cursors": at(3)})
		if length := len(c.r.URL.RequestURI()); length > 8<<10 {
			p.fail("the address has %d bytes", length)
		}
		for _, name := range c.rooms() {
			delete(wanted, name[len("orders/"):])
		}
		if len(wanted) == 0 {
			p.fail("no room was left for an op")
		}
		c.say(message(4))
		p.messages(4)
		cursors := p.succeeds(p.do("cursors", nil))
		if !equal(cursors["cursors"], at(3)) {
			p.fail("the cursors moved to %v before the rooms were joined", cursors["cursors"])
		}
		for len(wanted) > 0 {
			o := p.hears(c, "join", Op{"since": cursor(3)})
			name := fmt.Sprint(o["room"])
			if !wanted[name] {
				p.fail("it joins %s, which it did not have to; left are %v", name, slices.Sorted(maps.Keys(wanted)))
			}
			delete(wanted, name)
			c.say(Op{"op": "ok", "ref": o["ref"]})
		}
		c.say(message(5))
		p.messages(5)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(5))
	},
}}
