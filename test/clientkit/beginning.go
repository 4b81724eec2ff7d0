package clientkit

var beginning = []Scenario{{
	Name: "from", Topic: "Beginning",
	Rules: []string{
		"Let your user begin at a cursor that was asked for before the state was read: it is a cursor like one " +
			"that was saved, and counts before one that was.",
	},
	Needs: []string{"from"},
	play: func(p *play) {
		p.start(Op{"from": at(5), "cursors": at(2)})
		c := p.greet()
		p.resumes(c.Visit, at(5))
		c.say(message(6))
		p.messages(6)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(6))
	},
}, {
	Name: "last", Topic: "Beginning",
	Rules: []string{
		"Ask for the latest messages, with `last`, only in systems where you have no cursor, also when you come " +
			"back. Tell your user what `hello` says of it.",
	},
	Needs: []string{"last"},
	play: func(p *play) {
		p.start(Op{
			"systems": []string{"orders", "chat"}, "last": Op{"orders": 20, "chat": 5},
			"cursors": map[string]string{"chat": "chat-1"},
		})
		v := p.visit()
		if got := v.query()["last"]; len(got) != 1 || got[0] != "orders:20" {
			p.fail("it asks for the last messages by %q; want orders:20", got)
		}
		p.resumes(v, map[string]string{"chat": "chat-1"})
		c, err := v.accept()
		if err != nil {
			p.fail("%v", err)
		}
		c.say(Op{"op": "hello", "session": "S", "node": "n1", "user": "alice", "systems": Op{
			"orders": Op{"cursor": cursor(3), "resumed": false, "last": Op{"complete": false, "reason": "trimmed"}},
			"chat":   Op{"cursor": "chat-1", "resumed": true},
		}})
		got := p.event("open")
		if last := (Op{"orders": Op{"complete": false, "reason": "trimmed"}}); !equal(got["last"], last) {
			p.fail("the client told %v; want of last %v", got, last)
		}
		c.say(message(4))
		p.messages(4)
		c.breakOff()
		v = p.visitAndGreet()
		p.resumes(v, map[string]string{"orders": cursor(4), "chat": "chat-1"})
		if got := v.query()["last"]; len(got) > 0 {
			p.fail("it has cursors, and asks for the last messages by %q", got)
		}
	},
}}

var receipts = []Scenario{{
	Name: "ack", Topic: "Receipts",
	Rules: []string{
		"A message with `\"receipt\":true` wants to be acknowledged, by its cursor, once your user is done with " +
			"it and with all before it. One `ack` stands for all before it: some ten a second are enough.",
		"`ack` has no answer. Send it on the connection that brought the message, and on no other.",
	},
	Needs: []string{"ack"},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1))
		p.messages(1)
		c.say(with(message(2), Op{"receipt": true}))
		p.messages(2)
		p.hears(c, "ack", Op{"system": "orders", "cursor": cursor(2)})
		c.say(with(message(3), Op{"receipt": true}), with(message(4), Op{"receipt": true}))
		p.messages(3, 4)
		if o := p.hears(c, "ack", Op{"system": "orders"}); o["cursor"] == cursor(3) {
			p.hears(c, "ack", Op{"cursor": cursor(4)})
		} else if o["cursor"] != cursor(4) {
			p.fail("the client acknowledges %v; want %s", o, cursor(4))
		}
		c.breakOff()
		c = p.greet()
		c.say(with(message(5), Op{"receipt": true}))
		p.messages(5)
		p.hears(c, "ack", Op{"system": "orders", "cursor": cursor(5)})
	},
}}
