package clientkit

import "fmt"

// ending returns a scenario in which a close code alone is final.
func ending(code int, rule string) Scenario {
	return Scenario{
		Name: fmt.Sprintf("close-%d", code), Topic: "Ended by the server", Rules: []string{rule},
		play: func(p *play) {
			c := p.begin(nil)
			c.say(message(1))
			p.messages(1)
			c.close(code, "because")
			p.told("ended", Op{"code": code, "reason": "because"})
		},
	}
}

var endings = []Scenario{{
	Name: "disconnect", Topic: "Ended by the server",
	Rules: []string{
		"`disconnect` says that an operator or a service has ended the session. With " +
			"`\"reconnect\":false` do not come " +
			"back by yourself; tell your user the code and the reason. The close frame that follows says " +
			"no more, and may be lost.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1), Op{"op": "disconnect", "code": 4009, "reason": "logged out", "reconnect": false})
		p.messages(1)
		p.told("ended", Op{"code": 4009, "reason": "logged out"})
		p.ends(c, 0)
	},
}, {
	Name: "disconnect-reconnect", Topic: "Ended by the server",
	Rules: []string{"With `\"reconnect\":true` fetch a new token and come back, whatever the code."},
	play: func(p *play) {
		c := p.begin(Op{"tokens": []string{"t1", "t2", "t3"}})
		c.say(message(1), Op{"op": "disconnect", "code": 4009, "reason": "new rights", "reconnect": true})
		p.messages(1)
		c.close(4009, "new rights")
		c = p.greet()
		p.resumes(c.Visit, at(1))
		if c.token() != "t2" {
			p.fail("it came back with the token %q; want the next one, t2", c.token())
		}
		c.say(Op{"op": "disconnect", "code": 4200, "reason": "of the application", "reconnect": true})
		c.breakOff()
		c = p.greet()
		c.say(message(2))
		p.messages(2)
	},
},
	ending(4009, "4009 without the op `disconnect` is final."),
	ending(4003, "4003 is final: the user is blocked, or the new token allows nothing here."),
	ending(4010, "4010 is final: the user has too many sessions, and would only take turns with them."),
	ending(4100, "4100 to 4999 are the application's codes. They are final, unless `disconnect` says otherwise."),
	ending(4999, "All of them are."),
}
