package clientkit

import "time"

// streamed starts a client over EventSource.
func (p *play) streamed(more Op) *Conn {
	p.start(with(Op{"via": "sse", "rooms": []string{"orders/lobby"}}, more))
	c := p.greet()
	if c.via != "sse" {
		p.fail("it came over %s; want sse", c.via)
	}
	return c
}

var streams = []Scenario{{
	Name: "sse", Topic: "Over Server-Sent Events",
	Rules: []string{
		"The same ops come as events of `/sse`. Systems, rooms and `resume` are in the address as for " +
			"`/ws`. Resume with " +
			"your own cursors and a token as it is then: a bare EventSource comes back with its first ones.",
		"Where there are no close codes, the op `close` stands for one.",
	},
	Needs: []string{"sse"},
	play: func(p *play) {
		c := p.streamed(nil)
		c.say(message(1), message(2))
		p.messages(1, 2)
		c.breakOff()
		c = p.greet()
		p.resumes(c.Visit, at(2))
		p.inRooms(c.Visit, "orders/lobby")
		c.say(message(3), Op{"op": "close", "code": 4008, "reason": "slow"})
		c.close(0, "")
		p.messages(3)
		c = p.greet()
		p.resumes(c.Visit, at(3))
		c.say(Op{"op": "close", "code": 4003, "reason": "blocked"})
		c.close(0, "")
		p.told("ended", Op{"code": 4003, "reason": "blocked"})
	},
}, {
	Name: "sse-goaway", Topic: "Over Server-Sent Events",
	Rules: []string{
		"`goaway` with `grace_ms` means the same as over WebSocket: the new stream first, then the old " +
			"one is closed.",
	},
	Needs: []string{"sse"},
	play: func(p *play) {
		old := p.streamed(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		p.resumes(young.Visit, at(1))
		old.say(message(2))
		p.messages(2)
		young.hello()
		young.say(message(2), message(3))
		p.messages(3)
		p.ends(old, 0)
	},
}, {
	Name: "sse-refused", Topic: "Over Server-Sent Events",
	Rules: []string{
		"A stream that says `goaway` without a `hello` was refused, with the `status` that it names. " +
			"Come back after `retry_ms`.",
	},
	Needs: []string{"sse"},
	play: func(p *play) {
		p.start(Op{"via": "sse"})
		c := p.accept()
		refused := time.Now()
		c.say(Op{"op": "goaway", "retry_ms": 500, "status": 503, "reason": "the node drains"})
		c.close(0, "")
		v := p.visit()
		p.after(v, refused, 500*time.Millisecond)
	},
}}
