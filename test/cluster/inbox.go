package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
)

// An Inbox is what a client hears, in all of its systems or in one: messages
// and gaps, in the order in which they came. Each Want and Next takes what it
// looked at out of it. Between systems there is no order: a client with several
// is asked by In.
type Inbox struct {
	client *Client
	system string // "" for all
}

// In returns what the client hears in one of its systems.
func (c *Client) In(system string) Inbox {
	c.c.t.Helper()
	if !slices.Contains(c.cfg.Systems, system) {
		c.c.t.Fatalf("%s is not in system %q, only in %s", c.name, system, strings.Join(c.cfg.Systems, ", "))
	}
	return Inbox{client: c, system: system}
}

// Next waits for the next message and returns it; a gap is a failure.
func (i Inbox) Next() *client.Message {
	i.client.c.t.Helper()
	e := i.take("a message")
	if e.gap != nil {
		i.client.fail("wanted a message, but it heard %s", &e)
	}
	return e.message
}

// Want waits until the client has heard these messages next, in this order, and
// nothing between them. Of each only what is set must be so: a message without
// Data may have any. Data are the same if they are as JSON; To must hold the
// target by which the client got it. TTL means nothing.
func (i Inbox) Want(want ...fanfare.Message) {
	i.client.c.t.Helper()
	for n := range want {
		what := "message " + describe(&want[n])
		if len(want) > 1 {
			what += fmt.Sprintf(" (number %d of %d)", n+1, len(want))
		}
		e := i.take(what)
		if e.gap != nil {
			i.client.fail("wanted %s\nbut it heard %s", what, &e)
		}
		if faults := differences(&want[n], e.message); len(faults) > 0 {
			i.client.fail("wanted %s\nbut it heard  %s\n  %s", what, &e, strings.Join(faults, "\n  "))
		}
	}
}

// WantGap waits until the next that the client has heard is a gap, for one of
// the reasons given or, if none are, any; see docs/protocol.md for them.
func (i Inbox) WantGap(reasons ...string) *client.Gap {
	i.client.c.t.Helper()
	what := strings.TrimSuffix("a gap: "+strings.Join(reasons, " or "), ": ")
	e := i.take(what)
	if e.gap == nil || len(reasons) > 0 && !slices.Contains(reasons, e.gap.Reason) {
		i.client.fail("wanted %s\nbut it heard %s", what, &e)
	}
	return e.gap
}

// WantNothing waits until the client has heard all that was published so far,
// and wants nothing to be left in the inbox. What a fault of the cluster keeps
// from it, it need not hear: it may be away, its node cut off, a message
// delayed.
func (i Inbox) WantNothing() {
	i.client.c.t.Helper()
	for _, system := range i.systems() {
		i.client.settle(system)
		if e, ok := i.client.box.peek(system); ok {
			i.client.fail("wanted nothing more in %s, but it heard %s", system, &e)
		}
	}
}

// WaitFor waits until the client has heard n messages in all, taken or not, and
// returns all that it has. It takes none, and does not mind gaps.
func (i Inbox) WaitFor(n int) []*client.Message {
	i.client.c.t.Helper()
	count := func() (have int) {
		for _, m := range i.client.box.all {
			if i.system == "" || m.System == i.system {
				have++
			}
		}
		return have
	}
	if err := i.client.box.until(i.client.c.cfg.patience, func() bool { return count() >= n }); err != nil {
		i.client.fail("waited for %d messages, %d came: %v", n, len(i.Messages()), err)
	}
	return i.Messages()
}

// Messages returns all that the client has heard so far, taken or not. It may
// be called from any goroutine; the messages are not to be changed.
func (i Inbox) Messages() []*client.Message { return i.client.box.messages(i.system) }

func (i Inbox) systems() []string {
	if i.system != "" {
		return []string{i.system}
	}
	return i.client.cfg.Systems
}

func (i Inbox) take(what string) event {
	i.client.c.t.Helper()
	e, err := i.client.box.take(i.client.c.cfg.patience, i.system)
	if err != nil {
		i.client.fail("wanted %s, but %v", what, err)
	}
	return e
}
