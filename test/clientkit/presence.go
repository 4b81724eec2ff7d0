package clientkit

var presence = []Scenario{{
	Name: "presence", Topic: "Who is there",
	Rules: []string{
		"`presence` asks who is in a place: `\"users\"`, `\"count\"`, or `false`. Pass on what comes: " +
			"`users` replaces what " +
			"is known, `joined` and `left` change it.",
		"Watch again on each new connection. If the node takes that back, with a `reason`, do not.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		c := p.begin(nil)
		p.event("open")
		ref := p.do("watch", Op{"system": "orders", "room": "lobby", "users": true})
		o := p.hears(c, "presence", Op{"system": "orders", "room": "lobby", "watch": "users"})
		c.say(Op{"op": "ok", "ref": o["ref"]})
		p.succeeds(ref)
		of := func(more Op) Op {
			return with(Op{"op": "presence", "system": "orders", "room": "lobby", "count": 2}, more)
		}
		state := of(Op{"users": []string{"alice", "bob"}})
		c.say(state, of(Op{"joined": []string{"carol"}, "left": []string{"bob"}}))
		p.told("presence", Op{"system": "orders", "room": "lobby", "count": 2, "users": []string{"alice", "bob"}})
		p.told("presence", Op{"count": 2, "joined": []string{"carol"}, "left": []string{"bob"}})
		c.breakOff()
		c = p.greet()
		o = p.hears(c, "presence", Op{"room": "lobby", "watch": "users"})
		c.say(Op{"op": "ok", "ref": o["ref"]}, state)
		p.told("presence", Op{"users": []string{"alice", "bob"}})
		c.say(Op{"op": "presence", "system": "orders", "room": "lobby", "watch": false, "reason": "token"})
		p.told("presence", Op{"room": "lobby", "reason": "token"})
		c.breakOff()
		c = p.greet()
		c.say(message(1)) // what the client says on the new connection, it says first
		p.messages(1)
		select {
		case o := <-c.heard:
			p.fail("the client said %s; want nothing", said(o))
		default:
		}
	},
}}
