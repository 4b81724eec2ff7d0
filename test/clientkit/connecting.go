package clientkit

import (
	"slices"
	"time"
)

var connecting = []Scenario{{
	Name: "hello", Topic: "Connecting",
	Rules: []string{
		"Connect to `/ws` below the address that you were given, and offer the subprotocol `fanfare.v1.json`.",
		"Name in the address the systems to receive from and the rooms to be in. The address needs no " +
			"`resume` " +
			"where you have no cursor.",
		"The session begins with `hello`.",
	},
	play: func(p *play) {
		p.start(Op{"systems": []string{"orders", "chat"}, "rooms": []string{"chat/lobby"}, "tokens": []string{"t1"}})
		v := p.visit()
		if got := v.systems(); !slices.Equal(got, []string{"chat", "orders"}) {
			p.fail("it asks for the systems %v; want chat and orders", got)
		}
		p.inRooms(v, "chat/lobby")
		p.resumes(v, map[string]string{})
		if v.token() != "t1" {
			p.fail("it gave the token %q; want t1", v.token())
		}
		c, err := v.accept()
		if err != nil {
			p.fail("%v", err)
		}
		c.hello()
		if got := p.event("open"); got["e"] != "open" || got["node"] != "n1" {
			p.fail("the client told %v; want open, of n1", got)
		}
		c.say(message(1))
		p.messages(1)
	},
}, {
	Name: "commas", Topic: "Connecting",
	Rules: []string{
		"`rooms` is a list with commas. Name a room that has a comma in its name with the parameter `room`.",
		"Names may hold any characters: encode them for the address.",
	},
	play: func(p *play) {
		wanted := []string{"orders/a,b", "orders/50% & more", "orders/plain", "orders/größe/2"}
		p.start(Op{"rooms": wanted})
		v := p.visit()
		p.inRooms(v, wanted...)
		if got := v.query()["room"]; !slices.Equal(got, []string{"orders/a,b"}) {
			p.fail("it names the rooms %q by room; want the one with a comma", got)
		}
		if _, err := v.accept(); err != nil {
			p.fail("%v", err)
		}
	},
}, {
	Name: "slow-start", Topic: "Connecting",
	Rules: []string{
		"`hello` may take a while, while the node finds where you are. Wait for it: ten seconds are usual.",
	},
	play: func(p *play) {
		p.start(nil)
		c := p.accept()
		select { // nothing may come in this time, however long it is
		case <-time.After(2 * time.Second):
		case v := <-p.server.visits:
			p.fail("%s came while %s had no hello yet", v.name, c.name)
		case <-c.ended:
			p.fail("%s ended with %d before its hello", c.name, c.code)
		}
		c.hello()
		c.say(message(1))
		p.messages(1)
	},
}, {
	Name: "silent-node", Topic: "Connecting",
	Rules: []string{"If `hello` does not come at all, give the connection up, and connect again."},
	play: func(p *play) {
		p.start(Op{"timeout_ms": 2500})
		first := p.accept()
		second := p.greet()
		p.ends(first, 0)
		second.say(message(1))
		p.messages(1)
	},
}, {
	Name: "stop", Topic: "Connecting",
	Rules: []string{"When your user is done, close with 1000, so that the node knows at once."},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1))
		p.messages(1)
		p.stop()
		p.ends(c, 1000)
	},
}, {
	Name: "other-end", Topic: "Connecting",
	Rules: []string{
		"If a connection ends with a code that is not named below, or with none, connect again, after a " +
			"random " +
			"pause. Its bound grows with each connection in a row that did not last, up to half a minute " +
			"or so: " +
			"all clients of a node that dies lose their connections at the same moment.",
		"1008 and 1009 say that the fault is yours, and that the same would end so again. You may end " +
			"for good then, and tell your user, or come back like after any other code.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1))
		p.messages(1)
		c.close(1011, "a fault")
		c = p.greet()
		c.close(4008, "nothing was read for too long")
		c = p.greet()
		c.breakOff()
		c = p.greet()
		c.say(message(2))
		p.messages(2)
	},
}}
