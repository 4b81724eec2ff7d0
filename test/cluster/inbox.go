package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
)

// An Inbox holds what a client received in all of its systems, or in one of them:
// messages and gaps, in the order in which they came. Methods that begin with
// Want, and Next, remove what they return or check. There is no order between
// systems, so ask a client with several systems by [Client.In].
type Inbox struct {
	client *Client
	system string // "" for all
}

// In returns the inbox of one of the client's systems.
func (c *Client) In(system string) Inbox {
	c.c.t.Helper()
	if !slices.Contains(c.cfg.Systems, system) {
		c.c.t.Fatalf("%s is not in system %q, only in %s", c.name, system, strings.Join(c.cfg.Systems, ", "))
	}
	return Inbox{client: c, system: system}
}

// Next waits for the next message and returns it. A gap fails the test.
func (i Inbox) Next() *client.Message {
	i.client.c.t.Helper()
	e := i.take("a message")
	if e.gap != nil {
		i.client.fail("wanted a message, but it heard %s", &e)
	}
	return e.message
}

// Want waits for these messages to come next, in this order and with nothing
// between them. It compares only the fields that are set, so a wanted message
// without Data matches any data. Data are compared as JSON values. To must
// contain the target by which the client received the message. TTL is ignored.
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

// WantGap waits for the next message or gap, which must be a gap for one of the
// given reasons. Without reasons, any gap will do. docs/protocol.md lists the
// reasons.
func (i Inbox) WantGap(reasons ...string) *client.Gap {
	i.client.c.t.Helper()
	what := strings.TrimSuffix("a gap: "+strings.Join(reasons, " or "), ": ")
	e := i.take(what)
	if e.gap == nil || len(reasons) > 0 && !slices.Contains(reasons, e.gap.Reason) {
		i.client.fail("wanted %s\nbut it heard %s", what, &e)
	}
	return e.gap
}

// WantNothing waits until the client has received everything that was published
// so far, and fails the test unless the inbox is then empty. It does not wait for
// what a fault keeps from the client: the client may be away, its node cut off,
// or a message delayed.
func (i Inbox) WantNothing() {
	i.client.c.t.Helper()
	for _, system := range i.systems() {
		i.client.settle(system)
		if e, ok := i.client.box.peek(system); ok {
			i.client.fail("wanted nothing more in %s, but it heard %s", system, &e)
		}
	}
}

// WaitFor waits until the client has received n messages in all, and returns all
// that it has received. It counts messages that were removed, removes none, and
// ignores gaps.
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

// Messages returns all messages that the client has received so far, including
// those that were removed. It may be called from any goroutine. The caller must
// not change the messages.
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
