package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/domain"
)

// fenceType is the type of a fence. A fence is a message from the cluster to a
// client. When the client receives it, everything that was published before it
// has come as well, since it takes the same way through the bus. Tests do not see
// fences.
const fenceType = "fanfare.test.fence"

const (
	// fenceAgain is how long the cluster waits for a fence before it sends
	// another. The first one may have been for a session that has ended, or it
	// may have been dropped by a fault.
	fenceAgain = time.Second
	// quiet is how long nothing must come for a client that no fence can reach.
	quiet = 50 * time.Millisecond
)

type fenceData struct {
	Fence int `json:"fanfare_test_fence"`
}

// fenceOf returns the number of a fence, if the message is one. Plain clients
// receive no type, so kind may be empty.
func fenceOf(kind string, data []byte) (n int, ok bool) {
	if kind != fenceType && kind != "" {
		return 0, false
	}
	var f fenceData
	if json.Unmarshal(data, &f) != nil || f.Fence == 0 {
		return 0, false
	}
	return f.Fence, true
}

// settle waits until the client has received everything that was published in a
// system before the call.
func (c *Client) settle(system string) {
	c.c.t.Helper()
	if !c.isAway() {
		c.fence(c.c.own, system)
	}
}

// fence sends fences through a publisher until the client has received one.
func (c *Client) fence(p *fanfare.Publisher, system string) {
	c.c.t.Helper()
	first, patience := 0, time.Now().Add(c.c.cfg.patience)
	for {
		c.WaitConnected()
		if c.unreachable(system) {
			_ = c.box.until(quiet, func() bool { return false })
			return
		}
		n, err := c.c.sendFence(p, c.address(), system)
		if errors.Is(err, domain.ErrClosed) {
			return // the service has closed its publisher
		}
		if first == 0 {
			first = n
		}
		err = c.box.until(fenceAgain, func() bool { return c.box.fences[system] >= first })
		switch {
		case err == nil:
			return
		case time.Now().After(patience):
			c.fail("waited until it has heard all that is on the bus in %s: %v", system, err)
		}
	}
}

// address returns a target that reaches the client. The session of a plain
// client is unknown, so its target is the user.
func (c *Client) address() string {
	if session := c.box.now().session; session != "" {
		return "session:" + session
	}
	return "user:" + c.cfg.User
}

// unreachable reports whether a fault keeps fences from the client now.
func (c *Client) unreachable(system string) bool {
	c.c.mu.Lock()
	down := c.c.down
	c.c.mu.Unlock()
	n := c.on()
	return down || n.isCutOff() || n.isLate(system)
}

func (c *Cluster) sendFence(p *fanfare.Publisher, to, system string) (n int, err error) {
	c.mu.Lock()
	c.fences++
	n = c.fences
	c.mu.Unlock()
	fence := fanfare.Message{To: []string{to}, Type: fenceType, Data: fenceData{n}}
	_, err = p.Publish(context.Background(), system, fence)
	return n, err
}
