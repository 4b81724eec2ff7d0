package clientkit

import (
	"fmt"
	"strings"
)

var messages = []Scenario{{
	Name: "content", Topic: "Messages",
	Rules: []string{
		"A frame holds one op or several, each on a line of its own.",
		"JSON comes as `data`, whatever value it is. Text is a string in `data`, with its `content_type`. " +
			"Bytes come in base64, as `data_base64`.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(
			with(message(1), Op{"data": nil}),
			with(message(2), Op{"data": []any{1, "two", Op{"three": 3}}, "content_type": "application/problem+json"}),
			with(message(3), Op{"data": "größer\nals 1", "content_type": "text/plain; charset=utf-8"}),
			with(without(message(4), "data"), Op{"data_base64": "AAH/", "content_type": "image/png"}),
			with(message(5), Op{"from": "bob", "headers": Op{"a": "b"}}),
		)
		p.told("message", Op{"id": "m1", "data": nil})
		p.told("message", Op{"id": "m2", "data": []any{1, "two", Op{"three": 3}}})
		p.told("message", Op{"id": "m3", "data": "größer\nals 1", "content_type": "text/plain; charset=utf-8"})
		p.told("message", Op{"id": "m4", "data_base64": "AAH/"})
		p.told("message", Op{
			"id": "m5", "from": "bob", "headers": Op{"a": "b"}, "type": "order.paid", "to": "user:alice",
		})
	},
}, {
	Name: "unknown", Topic: "Messages",
	Rules: []string{"Ignore ops and fields that you do not know: nodes may be newer than you are."},
	play: func(p *play) {
		c := p.accept0()
		c.say(Op{"op": "weather", "cursor": "orders-9", "system": "orders", "code": []int{1}})
		c.hello()
		c.say(Op{"op": "fortune", "text": Op{"id": 1}}, with(message(1), Op{"priority": Op{"high": true}}))
		c.say(Op{"op": "ok", "ref": "nobody's"}, Op{"op": "error", "code": "invalid", "message": "of no op of yours"})
		c.say(with(message(2), Op{"data": Op{"n": 2}}))
		p.messages(1, 2)
	},
}, {
	Name: "duplicate", Topic: "Messages",
	Rules: []string{
		"Nodes drop repetitions. So pass on what comes, also when an id comes again: with another " +
			"content it is " +
			"another message.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(message(1), with(message(2), Op{"id": id(1)}), with(message(3), Op{"id": id(1), "data": Op{"n": 1}}))
		p.told("message", Op{"id": id(1), "data": Op{"n": 1}})
		p.told("message", Op{"id": id(1), "data": Op{"n": 2}})
		p.told("message", Op{"id": id(1), "data": Op{"n": 1}})
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(3))
	},
}, {
	Name: "backlog", Topic: "Messages",
	Rules: []string{
		"After an absence thousands of messages may come at once. Pass on all of them, in order. If your " +
			"user is " +
			"slow, stop reading: bound what waits, and drop nothing.",
		"A frame may be large: read at least 16 MiB.",
	},
	play: func(p *play) {
		c := p.begin(Op{"cursors": at(0)})
		const frames, each = 20, 100
		for f := range frames {
			var ops []Op
			for i := range each {
				ops = append(ops, message(f*each+i+1))
			}
			c.say(ops...)
		}
		for n := range frames * each {
			p.messages(n + 1)
		}
		last := frames*each + 1
		c.say(with(message(last), Op{"data": strings.Repeat("x", 3<<20)}), message(last+1))
		if got := p.event("message"); got["id"] != id(last) {
			p.fail("the client told of the message %v; want the large one", got["id"])
		}
		p.messages(last + 1)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(last+1))
	},
}, {
	Name: "bus", Topic: "Messages",
	Rules: []string{
		"`bus` says that the node has lost its bus, or has it again. Stay: the node catches up by itself.",
	},
	play: func(p *play) {
		c := p.begin(nil)
		c.say(Op{"op": "bus", "up": false})
		p.told("bus", Op{"up": false})
		c.say(Op{"op": "bus", "up": true}, message(1))
		p.told("bus", Op{"up": true})
		p.messages(1)
	},
}, {
	Name: "gap", Topic: "Messages",
	Rules: []string{
		"Tell your user of each `gap`, with its reason, where it stands among the messages: something may be " +
			"missing there. Whoever fetches the state anew waits for `after_ms` before.",
		"Its cursor replaces yours; without one, yours stays.",
	},
	play: func(p *play) {
		c := p.begin(Op{"cursors": at(1)})
		c.say(
			Op{"op": "gap", "system": "orders", "reason": "trimmed", "cursor": cursor(5), "after_ms": 350},
			message(6),
			Op{"op": "gap", "system": "orders", "reason": "a reason of later", "after_ms": 0},
			without(message(7), "cursor"),
		)
		p.told("gap", Op{"system": "orders", "reason": "trimmed", "after_ms": 350})
		p.messages(6)
		p.told("gap", Op{"system": "orders", "reason": "a reason of later", "after_ms": 0})
		p.messages(7)
		c.breakOff()
		p.resumes(p.visitAndGreet(), at(6))
	},
}}

// accept0 starts the client, and opens its connection without a hello.
func (p *play) accept0() *Conn {
	p.start(nil)
	return p.accept()
}

// visitAndGreet waits for a request, and greets the client.
func (p *play) visitAndGreet() *Visit { return p.greet().Visit }

// said is the text of an op's fields, for messages of faults.
func said(o Op) string { return fmt.Sprint(map[string]any(o)) }
