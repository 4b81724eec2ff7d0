package clientkit

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Patience is how long a scenario waits for one thing.
const Patience = 20 * time.Second

// A Scenario is one thing that clients must do.
type Scenario struct {
	// Name is unique, in the form of a word or several with hyphens.
	Name string
	// Topic is the heading of docs/clients.md below which the scenario stands.
	Topic string
	// Rules are what the client must do, in Markdown, a sentence or two each.
	Rules []string
	// Needs names what the client must be able to do for the scenario to apply to it.
	Needs []string

	play func(*play)
}

// Run plays the scenario with a client. The error says what the client did wrong, and
// what had happened until then. It takes a driver for itself.
func (s *Scenario) Run(ctx context.Context, c *Client) (err error) {
	d, err := c.take(ctx)
	if err != nil {
		return err
	}
	log := &timeline{began: time.Now()}
	p := &play{ctx: ctx, driver: d, log: log, server: newServer(log), answers: map[string]Op{}}
	defer func() {
		p.server.stop()
		if r := recover(); r != nil {
			f, ok := r.(fault)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s: %s\n%s", s.Name, f, log)
		}
		if err != nil {
			d.close() // what it is in the midst of would disturb the next scenario
			return
		}
		c.giveBack(d)
	}()
	s.play(p)
	p.finish()
	return nil
}

// A fault is what a client did wrong. It ends the play as a panic, so that a scenario
// reads as the list of what happens.
type fault string

// A play is a scenario that is being played.
type play struct {
	ctx    context.Context
	driver *driver
	server *server
	log    *timeline

	stopped bool // the client was told to stop
	refs    int
	answers map[string]Op // of commands, by ref, for which the scenario has not asked yet
	early   []Op          // events that came while the scenario waited for an answer
}

func (p *play) fail(format string, args ...any) { panic(fault(fmt.Sprintf(format, args...))) }

// start starts the client. Fields of more replace those that are usual.
func (p *play) start(more Op) {
	start := Op{"do": "start", "url": p.server.URL, "systems": []string{"orders"}}
	for name, value := range more {
		start[name] = value
	}
	p.write(start)
}

func (p *play) write(o Op) {
	text, _ := json.Marshal(o)
	p.log.add(" drive: %s", text)
	if err := p.driver.write(o); err != nil {
		p.fail("the driver takes no commands: %v", err)
	}
}

// do gives the client a command that is answered, and returns its ref.
func (p *play) do(what string, more Op) string {
	p.refs++
	ref := fmt.Sprintf("%s-%d", what, p.refs)
	command := Op{"do": what, "ref": ref}
	for name, value := range more {
		command[name] = value
	}
	p.write(command)
	return ref
}

// answer waits for the answer to a command.
func (p *play) answer(ref string) Op {
	for {
		if got, ok := p.answers[ref]; ok {
			delete(p.answers, ref)
			return got
		}
		p.note(p.line("the answer to " + ref))
	}
}

// note keeps a line of the driver until the scenario asks for it.
func (p *play) note(o Op) {
	if o["did"] == nil {
		p.early = append(p.early, o)
	} else {
		p.answers[fmt.Sprint(o["did"])] = o
	}
}

// succeeds waits for the answer to a command, which must not be an error.
func (p *play) succeeds(ref string) Op {
	got := p.answer(ref)
	if got["error"] != nil {
		p.fail("%s failed: %v", ref, got["error"])
	}
	return got
}

// fails waits for the answer to a command, which must be this error.
func (p *play) fails(ref, code string) {
	if got := p.answer(ref); got["error"] != code {
		p.fail("%s was answered %v; want the error %s", ref, got, code)
	}
}

// line waits for the next line of the driver.
func (p *play) line(what string) Op {
	select {
	case o, ok := <-p.driver.events:
		if !ok {
			p.fail("the driver has ended (%v); want %s", p.driver.err, what)
		}
		text, _ := json.Marshal(o)
		p.log.add("driver: %.300s", text)
		return o
	case <-time.After(Patience):
		p.fail("the driver did not tell within %v: %s", Patience, what)
	case <-p.ctx.Done():
		p.fail("%v; want %s", p.ctx.Err(), what)
	}
	return nil
}

// quiet are the events that no scenario is about, unless it asks for them: when and how
// often a client tells of its connections is its own affair.
var quiet = []string{"open", "lost", "error"}

// event waits for the next event that is of a kind, or that is not quiet.
func (p *play) event(kind string) Op {
	for {
		var o Op
		if len(p.early) > 0 {
			o, p.early = p.early[0], p.early[1:]
		} else if o = p.line(kind); o["did"] != nil {
			p.answers[fmt.Sprint(o["did"])] = o
			continue
		}
		if e := fmt.Sprint(o["e"]); e == kind || !slices.Contains(quiet, e) {
			return o
		}
	}
}

// told waits for the next event, which must be of this kind and have these fields.
func (p *play) told(kind string, fields Op) {
	got := p.event(kind)
	if got["e"] != kind {
		p.fail("the client told %v; want %s %v", got, kind, fields)
	}
	for name, want := range fields {
		if !equal(got[name], want) {
			p.fail("the client told %v; want %s: %v", got, name, want)
		}
	}
}

// messages waits for messages of the system orders with these numbers, and nothing else.
func (p *play) messages(numbers ...int) {
	for _, n := range numbers {
		p.told("message", Op{"system": "orders", "id": id(n), "data": Op{"n": n}})
	}
}

// visit waits for the next request for a connection.
func (p *play) visit() *Visit {
	select {
	case v := <-p.server.visits:
		return v
	case <-time.After(Patience):
		p.fail("the client did not connect within %v", Patience)
	case <-p.ctx.Done():
		p.fail("the client did not connect: %v", p.ctx.Err())
	}
	return nil
}

// accept waits for a request, and opens the connection.
func (p *play) accept() *Conn {
	c, err := p.visit().accept()
	if err != nil {
		p.fail("%v", err)
	}
	return c
}

// greet waits for a request, opens the connection, and says hello.
func (p *play) greet() *Conn {
	c := p.accept()
	c.hello()
	return c
}

// begin starts the client, and greets it.
func (p *play) begin(more Op) *Conn {
	p.start(more)
	return p.greet()
}

// hears waits for the next op of the client, which must be this one and have these
// fields; the op is returned.
func (p *play) hears(c *Conn, name string, fields Op) Op {
	select {
	case o := <-c.heard:
		if o["op"] != name {
			p.fail("%s: the client said %v; want %s", c.name, o, name)
		}
		for field, want := range fields {
			if !equal(o[field], want) {
				p.fail("%s: the client said %v; want %s: %v", c.name, o, field, want)
			}
		}
		return o
	case <-c.ended:
		p.fail("%s: the connection ended with %d; want %s", c.name, c.code, name)
	case <-time.After(Patience):
		p.fail("%s: the client did not say within %v: %s", c.name, Patience, name)
	}
	return nil
}

// ends waits until the connection has ended by the client's doing. Its close code must be
// this one; 0 is any.
func (p *play) ends(c *Conn, code int) {
	select {
	case <-c.ended:
		if code != 0 && c.ws != nil && c.code != code {
			p.fail("%s: the client closed with %d; want %d", c.name, c.code, code)
		}
	case <-time.After(Patience):
		p.fail("%s: the client did not close within %v", c.name, Patience)
	}
}

// resumes fails unless the client resumes from these cursors, and from no others.
func (p *play) resumes(v *Visit, cursors map[string]string) {
	if got := v.resume(); !reflect.DeepEqual(got, cursors) {
		p.fail("%s resumes from %v; want %v", v.name, got, cursors)
	}
}

// inRooms fails unless the address names these rooms, and no others.
func (p *play) inRooms(v *Visit, rooms ...string) {
	if got := v.rooms(); !slices.Equal(got, slices.Sorted(slices.Values(rooms))) {
		p.fail("%s names the rooms %v; want %v", v.name, got, rooms)
	}
}

// after fails if a request came earlier than d after a time. A tenth is for the clocks of
// timers.
func (p *play) after(v *Visit, since time.Time, d time.Duration) {
	if got := v.at.Sub(since); got < d*9/10 {
		p.fail("%s came after %v; want %v at least", v.name, got, d)
	}
}

// always lets the server refuse all requests from now on, or none if the status is 0.
func (p *play) always(a answer) {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	p.server.standing = &a
	if a.status == 0 {
		p.server.standing = nil
	}
}

// can says whether the client can do something that not all clients can.
func (p *play) can(what string) bool { return p.driver.can[what] }

// stop tells the client to stop.
func (p *play) stop() {
	if p.stopped {
		return
	}
	p.stopped = true
	p.always(answer{status: 503})
	p.write(Op{"do": "stop"})
}

// finish stops the client. Nothing may be left that the scenario has not asked for.
func (p *play) finish() {
	p.stop()
	for {
		o := p.event("stopped")
		if o["e"] == "stopped" {
			break
		}
		p.fail("nothing more was to come, but the client told %v", o)
	}
	select {
	case v := <-p.server.visits:
		p.fail("nothing more was to come, but the client connected: %s %s", v.name, v.r.URL.RawQuery)
	default:
	}
	for ref, o := range p.answers {
		p.fail("nobody asked for the answer to %s: %v", ref, o)
	}
}

// equal compares as JSON does.
func equal(got, want any) bool {
	text, err := json.Marshal(want)
	if err != nil {
		return false
	}
	var plain any
	return json.Unmarshal(text, &plain) == nil && reflect.DeepEqual(got, plain)
}

// A timeline remembers what happened. It is safe for concurrent use.
type timeline struct {
	began time.Time
	mu    sync.Mutex
	lines []string // guarded by mu
}

// mostLines is how many lines are shown.
const mostLines = 60

func (l *timeline) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf("%7.3fs %s", time.Since(l.began).Seconds(), text))
	if len(l.lines) > 2*mostLines {
		l.lines = slices.Delete(l.lines, 0, mostLines)
	}
}

func (l *timeline) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.lines[max(0, len(l.lines)-mostLines):]
	return strings.Join(last, "\n")
}
