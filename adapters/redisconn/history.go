package redisconn

import (
	"context"
	"fmt"
	"strings"
)

// A History identifies what a master has written. A replica that is promoted has
// another one from then on, and so does a server that has restarted: either may lack
// what the master had confirmed before. A topic that is moved to another master goes
// to another History, too, but loses nothing. So does, in place, a topic whose master
// gets its first replica, or has had none for the server's repl-backlog-ttl.
type History struct {
	ID string // of the master's replication
	// Promoted says that it continues the history of another master, or of the time before
	// a restart. A master without a replica forgets that after the repl-backlog-ttl.
	Promoted bool
	Addr     string // the server's
}

// History asks the server for its history. It returns an error if the server is no
// master.
func (c *Conn) History() (History, error) {
	h := History{Addr: c.Addr()}
	c.Queue("INFO", "replication")
	if err := c.Flush(); err != nil {
		return h, err
	}
	text, err := c.Text()
	if err != nil {
		return h, err
	}
	return h, h.parse(text)
}

// HistoryAt asks the server with an address that [Pipeline.Reply] has returned for its
// history. It uses the connections for publishing.
func (m *Masters) HistoryAt(ctx context.Context, addr string) (History, error) {
	h := History{Addr: addr}
	client, err := m.client(addr)
	if err != nil {
		return h, err
	}
	text, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return h, m.departed(addr, err)
	}
	return h, h.parse(text)
}

// parse reads what a server says of its replication.
func (h *History) parse(text string) error {
	role := ""
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "role":
			role = value
		case "master_replid":
			h.ID = value
		case "master_replid2":
			h.Promoted = strings.Trim(value, "0") != ""
		}
	}
	if role != "master" || h.ID == "" {
		return fmt.Errorf("the server at %s is no master, but %.16q", h.Addr, role)
	}
	return nil
}

// Lives reports whether the master with a history is still one, and has that history.
func (m *Masters) Lives(ctx context.Context, h History) bool {
	conn, err := m.Dial(ctx, h.Addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer conn.Bind(ctx)()
	now, err := conn.History()
	return err == nil && now.ID == h.ID
}
