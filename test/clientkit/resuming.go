package clientkit

var resuming = []Scenario{{
	Name: "resume", Topic: "Resuming",
	Rules: []string{
		"Keep the newest cursor of each system: of a `message`, a `gap` or a `cursor`. When the " +
			"connection is " +
			"lost, connect again with `resume`, and with your systems and rooms as they are then.",
		"What you missed then comes before what is new. You need not sort, nor look for repetitions.",
	},
	play: func(p *play) {
		c := p.begin(Op{"systems": []string{"orders", "chat"}, "rooms": []string{"chat/lobby"}})
		c.say(message(1), message(2))
		p.messages(1, 2)
		c.breakOff()
		c = p.greet()
		p.resumes(c.Visit, map[string]string{"orders": cursor(2), "chat": cursor0("chat")})
		p.inRooms(c.Visit, "chat/lobby")
		c.say(message(3))
		c.say(Op{"op": "message", "system": "chat", "id": "c1", "cursor": "chat-1", "to": "room:lobby", "data": "hi"})
		p.messages(3)
		p.told("message", Op{"system": "chat", "id": "c1", "data": "hi"})
		c.close(1011, "")
		p.resumes(p.visitAndGreet(), map[string]string{"orders": cursor(3), "chat": "chat-1"})
	},
}, {
	Name: "hello-cursor", Topic: "Resuming",
	Rules: []string{
		"If you gave a cursor, keep it until a `message`, `gap` or `cursor` replaces it, even if `hello` " +
			"names " +
			"another: what is between the two may be lost with the connection. Take `hello`'s where you " +
			"had none.",
	},
	play: func(p *play) {
		p.start(Op{"systems": []string{"orders", "chat"}, "cursors": at(3)})
		c := p.accept()
		c.helloAt(map[string]any{"orders": cursor(9)})
		c.say(Op{"op": "bus", "up": true})
		p.told("bus", nil)
		c.breakOff()
		p.resumes(p.visitAndGreet(), map[string]string{"orders": cursor(3), "chat": cursor0("chat")})
	},
}, {
	Name: "cursor", Topic: "Resuming",
	Rules: []string{"A `cursor` moves your position although nothing came. It replaces the one you have."},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1), Op{"op": "cursor", "system": "orders", "cursor": cursor(8)}, Op{"op": "bus", "up": true})
		p.messages(1)
		p.told("bus", nil)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(8))
	},
}, {
	Name: "cursor-null", Topic: "Resuming",
	Rules: []string{
		"A cursor may be `null` or missing, in `hello` where the node cannot know it, and on buses that " +
			"have none. " +
			"It leaves the one that you have, or none: then leave the system out of `resume`.",
	},
	play: func(p *play) {
		p.start(nil)
		c := p.accept()
		c.helloAt(map[string]any{"orders": nil})
		c.say(with(message(1), Op{"cursor": nil}), without(message(2), "cursor"))
		p.messages(1, 2)
		c.breakOff()
		c = p.greet()
		p.resumes(c.Visit, map[string]string{})
		c.say(message(3), with(message(4), Op{"cursor": nil}))
		p.messages(3, 4)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(3))
	},
}, {
	Name: "saved", Topic: "Resuming",
	Rules: []string{
		"Let your user read the cursors, save them, and begin with them another time. A message's cursor " +
			"is among " +
			"them only once your user is done with the message.",
	},
	play: func(p *play) {
		p.start(Op{"cursors": at(7)})
		c := p.greet()
		p.resumes(c.Visit, at(7))
		p.event("open")
		if got := p.succeeds(p.do("cursors", nil)); !equal(got["cursors"], at(7)) {
			p.fail("the cursors are %v; want %v", got["cursors"], at(7))
		}
		c.say(message(8), message(9))
		p.messages(8, 9)
		for { // the last message is told a moment before the client's user is done with it
			got := p.succeeds(p.do("cursors", nil))
			if equal(got["cursors"], at(9)) {
				return
			}
			if !equal(got["cursors"], at(8)) {
				p.fail("the cursors are %v; want %v", got["cursors"], at(9))
			}
		}
	},
}}
