package clientkit

import "time"

var goingAway = []Scenario{{
	Name: "goaway", Topic: "Going away",
	Rules: []string{
		"`goaway` with `grace_ms` says that the node will close this connection, at the latest after " +
			"that time. Until " +
			"then everything goes on here. Open a new connection at once, with your cursors, rooms and a " +
			"token as for " +
			"any connection, while you go on handling the old one.",
		"Once the new connection has said `hello`, take messages, gaps and all else from it alone. Drop " +
			"there, by " +
			"system and id, the messages that the old connection brought since you dialled. Remember only so " +
			"many of them.",
		"Then close the old connection with 1000. Your user is told nothing twice, misses nothing, and " +
			"all comes in order.",
	},
	play: func(p *play) {
		old := p.begin(Op{"rooms": []string{"orders/lobby"}, "tokens": []string{"t1", "t2"}})
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		p.resumes(young.Visit, at(1))
		p.inRooms(young.Visit, "orders/lobby")
		if young.token() != "t2" {
			p.fail("it came with the token %q; want the next one, t2", young.token())
		}
		old.say(message(2), message(3))
		p.messages(2, 3)
		young.hello()
		young.say(message(2), message(3), message(4))
		p.messages(4)
		old.say(with(message(5), Op{"type": "too late"})) // it comes again by the new one
		p.ends(old, 1000)
		young.say(with(message(5), Op{"type": "in time"}))
		p.told("message", Op{"id": id(5), "type": "in time"})
		young.breakOff()
		p.resumes(p.visitAndGreet(), at(5))
	},
}, {
	Name: "goaway-answers", Topic: "Going away",
	Rules: []string{
		"Before you close the old connection, wait for the answers to what you sent there. Do not send " +
			"it again on the " +
			"new one.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		old := p.begin(nil)
		p.event("open")
		ref := p.do("send", Op{"system": "orders", "to": "room:lobby", "data": Op{"n": 1}})
		asked := p.hears(old, "send", nil)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.greet()
		young.say(message(1))
		p.messages(1)
		select {
		case <-old.ended:
			p.fail("%s was closed before its answer", old.name)
		default:
		}
		old.say(Op{"op": "ok", "ref": asked["ref"], "id": "the id"})
		if got := p.succeeds(ref); got["id"] != "the id" {
			p.fail("the send was answered %v; want the id", got)
		}
		p.ends(old, 1000)
		ref = p.do("send", Op{"system": "orders", "to": "room:lobby", "data": Op{"n": 2}})
		asked = p.hears(young, "send", Op{"data": Op{"n": 2}})
		young.say(Op{"op": "ok", "ref": asked["ref"], "id": "another"})
		p.succeeds(ref)
	},
}, {
	Name: "goaway-refused", Topic: "Going away",
	Rules: []string{
		"If the new connection fails or is refused, keep the old one until the node closes it. Then wait for " +
			"`retry_ms`, and no longer, and connect as usual.",
	},
	play: func(p *play) {
		old := p.begin(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 400, "grace_ms": 15_000})
		p.visit().refuse(answer{status: 503})
		old.say(message(2))
		p.messages(2)
		old.say(message(3))
		p.messages(3)
		closed := time.Now()
		old.close(1001, "going away")
		v := p.visit()
		p.after(v, closed, 400*time.Millisecond)
		p.resumes(v, at(3))
		c, err := v.accept()
		if err != nil {
			p.fail("%v", err)
		}
		c.hello()
		c.say(message(4))
		p.messages(4)
	},
}, {
	Name: "goaway-final", Topic: "Going away",
	Rules: []string{
		"A new connection that is closed with a code that is final ends the client, as always, and so " +
			"the old one, too.",
	},
	play: func(p *play) {
		old := p.begin(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		p.accept().close(4003, "blocked")
		p.told("ended", Op{"code": 4003})
		p.ends(old, 0)
	},
}, {
	Name: "goaway-disconnect", Topic: "Going away",
	Rules: []string{
		"If the old connection is ended for good before the new one has said `hello`, give the new one up.",
	},
	play: func(p *play) {
		old := p.begin(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		old.say(Op{"op": "disconnect", "code": 4009, "reason": "logged out", "reconnect": false})
		p.told("ended", Op{"code": 4009, "reason": "logged out"})
		p.ends(young, 0)
	},
}, {
	Name: "goaway-late", Topic: "Going away",
	Rules: []string{
		"The old connection may end before the new one has said `hello`. What it has brought since you " +
			"dialled comes " +
			"again on the new one all the same.",
	},
	play: func(p *play) {
		old := p.begin(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		old.say(message(2))
		p.messages(2)
		old.close(1001, "going away")
		young.hello()
		young.say(message(2), message(3))
		p.messages(3)
	},
}, {
	Name: "goaway-broken", Topic: "Going away",
	Rules: []string{
		"What is dropped on the new connection must not take your cursor back: if that connection " +
			"breaks, too, it would " +
			"come once more.",
	},
	play: func(p *play) {
		old := p.begin(nil)
		old.say(message(1))
		p.messages(1)
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		old.say(message(2), message(3))
		p.messages(2, 3)
		young.hello()
		young.say(message(2), Op{"op": "bus", "up": true})
		p.told("bus", nil)
		young.breakOff()
		p.resumes(p.visitAndGreet(), at(3))
	},
}, {
	Name: "goaway-rooms", Topic: "Going away",
	Rules: []string{
		"What changes on the old connection after you dialled must hold on the new one: join there what " +
			"was joined " +
			"meanwhile, since your cursor, and leave what was left.",
	},
	Needs: []string{"send"},
	play: func(p *play) {
		old := p.begin(Op{"rooms": []string{"orders/lobby"}})
		p.event("open")
		old.say(Op{"op": "goaway", "retry_ms": 20, "grace_ms": 15_000})
		young := p.accept()
		p.inRooms(young.Visit, "orders/lobby")
		left := p.do("leave", Op{"system": "orders", "room": "lobby"})
		joined := p.do("join", Op{"system": "orders", "room": "kitchen"})
		young.hello()
		wanted := map[any]any{"leave": "lobby", "join": "kitchen"}
		for len(wanted) > 0 { // on the new connection; a client may ask on the old one as well
			select {
			case o := <-old.heard:
				old.say(Op{"op": "ok", "ref": o["ref"]})
			case o := <-young.heard:
				if o["op"] == "leave" && o["room"] == "lobby" {
					wanted["leave"] = "lobby" // it may leave twice: as it dialled, and as it was asked
				}
				if o["room"] != wanted[o["op"]] {
					p.fail("%s: the client said %s; want to leave lobby and join kitchen", young.name, said(o))
				}
				delete(wanted, o["op"])
				young.say(Op{"op": "ok", "ref": o["ref"]})
			case <-time.After(Patience):
				p.fail("%s: the client did not say within %v: %v", young.name, Patience, wanted)
			}
		}
		for p.answers[left] == nil || p.answers[joined] == nil {
			select {
			case o := <-young.heard: // the second leave
				young.say(Op{"op": "ok", "ref": o["ref"]})
			case o, ok := <-p.driver.events:
				if !ok {
					p.fail("the driver has ended: %v", p.driver.err)
				}
				p.note(o)
			case <-time.After(Patience):
				p.fail("no answer to leave and join within %v", Patience)
			}
		}
		p.succeeds(left)
		p.succeeds(joined)
		young.breakOff()
		p.inRooms(p.visitAndGreet(), "orders/kitchen")
	},
}, {
	Name: "goaway-now", Topic: "Going away",
	Rules: []string{
		"`goaway` without `grace_ms` says that the connection ends now. Come back `retry_ms` after that, " +
			"not earlier.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1), Op{"op": "goaway", "retry_ms": 600})
		p.messages(1)
		closed := time.Now()
		c.close(1001, "going away")
		v := p.visit()
		p.after(v, closed, 600*time.Millisecond)
		p.resumes(v, at(1))
	},
}}
