package clientkit

import "time"

var tokens = []Scenario{{
	Name: "refresh", Topic: "Tokens",
	Rules: []string{
		"Before a JWT ends (at a random moment after about four fifths of its life) get the next one, " +
			"and send it with " +
			"`auth`. The session goes on.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		first, second := token("t1", 15*time.Second), token("t2", time.Hour)
		c := p.begin(Op{"tokens": []string{first, second}})
		if c.token() != first {
			p.fail("it came with another token than the first")
		}
		o := p.hears(c, "auth", Op{"token": second})
		c.say(Op{"op": "ok", "ref": o["ref"]}, message(1))
		p.messages(1)
	},
}, {
	Name: "expired", Topic: "Tokens",
	Rules: []string{
		"4001 means that the token has expired or was revoked. Come back with a new one: ask for it anew.",
		"A 401 right after that may concern a token that was issued a moment too early. Ask for another " +
			"one; three tries are enough.",
	},
	play: func(p *play) {
		c := p.begin(Op{"tokens": []string{"t1", "t2", "t3"}})
		c.say(message(1))
		p.messages(1)
		c.close(4001, "the token was revoked")
		v := p.visit()
		if v.token() != "t2" {
			p.fail("it came back with the token %q; want the next one, t2", v.token())
		}
		v.refuse(answer{status: 401})
		c = p.greet()
		if c.token() != "t3" {
			p.fail("it came back with the token %q; want the next one, t3", c.token())
		}
		p.resumes(c.Visit, at(1))
	},
}, {
	Name: "token-fails", Topic: "Tokens",
	Rules: []string{"If getting a token fails, try again later, as if the connection had failed."},
	play: func(p *play) {
		c := p.begin(Op{"tokens": []any{nil, "t2"}})
		if c.token() != "t2" {
			p.fail("it came with the token %q; want t2", c.token())
		}
	},
}}
