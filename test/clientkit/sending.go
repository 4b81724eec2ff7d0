package clientkit

var sending = []Scenario{{
	Name: "send", Topic: "Sending",
	Rules: []string{
		"Give each op a `ref` of its own, and find its answer by that. Answers may come in another order.",
		"The `ok` of a `send` has the message's id.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		c := p.begin(nil)
		p.event("open")
		one := p.do("send", Op{"system": "orders", "to": "room:lobby", "type": "chat.said", "data": Op{"text": "hi"}})
		first := p.hears(c, "send", Op{"system": "orders", "type": "chat.said", "data": Op{"text": "hi"}})
		two := p.do("send", Op{"system": "orders", "data": 2, "id": "my-id"})
		second := p.hears(c, "send", Op{"data": 2, "id": "my-id"})
		if second["to"] != nil {
			p.fail("the second send goes to %v; want no target", second["to"])
		}
		if equal(first["ref"], second["ref"]) {
			p.fail("two ops have the same ref %v", first["ref"])
		}
		c.say(Op{"op": "error", "ref": second["ref"], "code": "forbidden", "message": "no"})
		c.say(Op{"op": "ok", "ref": first["ref"], "id": "made by the node"})
		if got := p.succeeds(one); got["id"] != "made by the node" {
			p.fail("the send was answered %v; want the node's id", got)
		}
		p.fails(two, "forbidden")
	},
}, {
	Name: "send-lost", Topic: "Sending",
	Rules: []string{
		"If the connection is lost before the answer, the message may have been published. Tell your " +
			"user so. Do not send " +
			"it again, except on request, with an id.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		c := p.begin(nil)
		p.event("open")
		ref := p.do("send", Op{"system": "orders", "data": 1})
		p.hears(c, "send", nil)
		c.breakOff()
		p.fails(ref, "unknown")
		c = p.greet()
		p.event("open")
		ref = p.do("send", Op{"system": "orders", "data": 2})
		o := p.hears(c, "send", Op{"data": 2})
		c.say(Op{"op": "ok", "ref": o["ref"], "id": "x"})
		p.succeeds(ref)
	},
}}
