package clientkit

import "time"

var refusals = []Scenario{{
	Name: "try-later", Topic: "Refused",
	Rules: []string{
		"429 and 503 pass, and so does any other 5xx. Come back, and no earlier than `Retry-After` says, " +
			"if you can see it.",
	},
	play: func(p *play) {
		p.start(nil)
		for _, a := range []answer{{status: 503, retryAfter: "1"}, {status: 429, retryAfter: "1"}, {status: 500}} {
			v := p.visit()
			refused := time.Now()
			v.refuse(a)
			next := p.visit()
			if p.can("status") && a.retryAfter != "" {
				p.after(next, refused, time.Second)
			}
			p.server.visits <- next // the next turn refuses it, or the end greets it
		}
		c := p.greet()
		c.say(message(1))
		p.messages(1)
	},
}, {
	Name: "forbidden", Topic: "Refused",
	Rules: []string{
		"403, 404 and 422 from a node do not pass: end, and tell your user what the node said. Its " +
			"answers are " +
			"`application/problem+json`. If you cannot see the answer, as in browsers, ask `/sse` with " +
			"the same " +
			"parameters and `check=1` once connecting has failed a few times.",
	},
	play: func(p *play) {
		p.always(answer{status: 403})
		p.start(nil)
		got := p.event("ended")
		if got["e"] != "ended" || p.can("status") && !equal(got["status"], 403) {
			p.fail("the client told %v; want that it has ended after a 403", got)
		}
	},
}, {
	Name: "proxy", Topic: "Refused",
	Rules: []string{
		"The same from something that is no node, such as a load balancer that has none, may pass: come back.",
	},
	play: func(p *play) {
		p.start(nil)
		p.visit().refuse(answer{status: 404, byProxy: true})
		p.visit().refuse(answer{status: 403, byProxy: true})
		c := p.greet()
		c.say(message(1))
		p.messages(1)
	},
}}
