package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/domain"
)

// A fence is a message that means nothing: it only tells that what was
// published before it has come. It goes the same way, through the bus, and no
// test sees it.
const fenceType = "fanfare.test.fence"

const (
	// fenceAgain is after how long a fence is sent anew: the first may have
	// been for a session that ended, or dropped with what the client missed.
	fenceAgain = time.Second
	// quiet is how long nothing must come where no fence can.
	quiet = 50 * time.Millisecond
)

type fenceData struct {
	Fence int `json:"fanfare_test_fence"`
}

// fenceOf reads a fence; plain clients know no type.
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

// settle waits until the client has heard all that was published in a system
// up to now.
func (c *Client) settle(system string) {
	c.c.t.Helper()
	if !c.isAway() {
		c.fence(c.c.own, system)
	}
}

// fence sends fences until one has come.
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

// address is what reaches the client; of a plain one only the user is known.
func (c *Client) address() string {
	if session := c.box.now().session; session != "" {
		return "session:" + session
	}
	return "user:" + c.cfg.User
}

// unreachable says that no fence can come to the client now.
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
	_, err = p.Publish(context.Background(), system, fanfare.Message{To: []string{to}, Type: fenceType, Data: fenceData{n}})
	return n, err
}
