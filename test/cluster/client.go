package cluster

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
)

// A Protocol is what a client speaks with its node.
type Protocol string

// The protocols of docs/protocol.md.
const (
	V1  Protocol = "fanfare.v1.json" // over a WebSocket, with package client
	SSE Protocol = "sse"             // Server-Sent Events; the client cannot send
	// Plain is a WebSocket without a subprotocol. The client has one system and
	// no rooms. It receives only data: nothing that it missed, and no gaps.
	Plain Protocol = "fanfare.plain"
)

// A ClientConfig says who connects, and for what. User and Systems are
// required.
type ClientConfig struct {
	User    string
	Systems []string
	Rooms   []string // rooms to join when it connects, as system/room
	// Node is the node that it always connects to. If it is nil, the load
	// balancer chooses.
	Node *Node
	// Protocol is what it speaks; empty means V1.
	Protocol Protocol
	// Token returns its session token, for nodes that [Configure] has made to
	// require one.
	Token func(ctx context.Context) (string, error)
}

// A Client is one device of a user. When it loses its connection, it reconnects
// by itself and resumes. Its [Inbox] holds what it receives.
type Client struct {
	Inbox // of all its systems

	c     *Cluster
	cfg   ClientConfig
	name  string
	sdk   *client.Client // nil if it speaks something else
	box   *mailbox
	ctx   context.Context // ends with the client
	end   context.CancelFunc
	ended sync.WaitGroup

	mu    sync.Mutex
	node  *Node           // where it connects to; nil means any; guarded by mu
	gate  chan struct{}   // closed while it may connect; guarded by mu
	conn  net.Conn        // its newest connection; guarded by mu
	at    *Node           // the node that conn leads to; guarded by mu
	plain *websocket.Conn // the newest WebSocket of a plain client; guarded by mu
}

// Client connects a user's device through the load balancer and waits until it
// has a session. Of names the systems to attach to, and rooms as system/room.
func (c *Cluster) Client(user string, of ...string) *Client {
	c.t.Helper()
	return c.Connect(wishes(user, of))
}

// Client connects a user's device to this node, and waits until it has a session.
// The device also reconnects to this node only.
func (n *Node) Client(user string, of ...string) *Client {
	n.c.t.Helper()
	cfg := wishes(user, of)
	cfg.Node = n
	return n.c.Connect(cfg)
}

func wishes(user string, of []string) ClientConfig {
	cfg := ClientConfig{User: user}
	for _, name := range of {
		system, _, isRoom := strings.Cut(name, "/")
		if isRoom {
			cfg.Rooms = append(cfg.Rooms, name)
		}
		if !slices.Contains(cfg.Systems, system) {
			cfg.Systems = append(cfg.Systems, system)
		}
	}
	return cfg
}

// Connect connects a client and waits until it has a session.
func (c *Cluster) Connect(cfg ClientConfig) *Client {
	c.t.Helper()
	one := c.newClient(cfg)
	one.ended.Go(func() { one.run(one.ctx) })
	one.WaitConnected()
	return one
}

func (c *Cluster) newClient(cfg ClientConfig) *Client {
	c.t.Helper()
	one := &Client{c: c, cfg: cfg, node: cfg.Node, gate: make(chan struct{}), box: newMailbox()}
	one.ctx, one.end = context.WithCancel(context.Background())
	close(one.gate)
	one.Inbox = Inbox{client: one}
	sdk, err := client.New(client.Config{
		URL: c.URL() + "?" + url.Values{"user": {cfg.User}}.Encode(), Systems: cfg.Systems, Rooms: cfg.Rooms,
		Token: cfg.Token, Handler: one.handler(), Dialer: &websocket.Dialer{NetDialContext: one.dial},
		FirstPause: 2 * time.Millisecond, MaxPause: 100 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	switch cfg.Protocol {
	case "", V1:
		one.sdk = sdk
	case Plain:
		if len(cfg.Systems) != 1 || len(cfg.Rooms) > 0 {
			c.t.Fatalf("cluster: a plain client has one system and no rooms")
		}
	case SSE:
	default:
		c.t.Fatalf("cluster: there is no protocol %q", cfg.Protocol)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.name = cfg.User; c.count(cfg.User) > 0 {
		one.name = fmt.Sprintf("%s#%d", cfg.User, c.count(cfg.User)+1)
	}
	c.clients = append(c.clients, one)
	return one
}

// count returns how many clients a user has. mu must be held.
func (c *Cluster) count(user string) (n int) {
	for _, one := range c.clients {
		if one.cfg.User == user {
			n++
		}
	}
	return n
}

func (c *Client) run(ctx context.Context) {
	var err error
	switch c.cfg.Protocol {
	case Plain:
		err = c.stay(ctx, c.plainSession)
	case SSE:
		err = c.stay(ctx, c.newEventSource().session)
	default:
		err = c.sdk.Run(ctx)
	}
	if err != nil {
		c.note("gives up: %v", err)
		c.noteEnd(err, true)
		c.box.giveUp(err)
	}
}

// stop ends the client for good.
func (c *Client) stop() {
	c.end()
	c.ended.Wait()
}

// Name returns the user's name, with a number from the second device on.
func (c *Client) Name() string { return c.name }

// SDK returns the underlying client, for tests that need the errors of its Send,
// Join and Leave. Its Run must not be called. It is nil if the client does not
// speak [V1].
func (c *Client) SDK() *client.Client { return c.sdk }

// WaitForBus waits until the client has been told that its node's bus is up, or
// that it is down.
func (c *Client) WaitForBus(up bool) {
	c.c.t.Helper()
	c.wait(fmt.Sprintf("be told that the bus is up: %v", up), func(s state) bool { return s.busUp == up })
}

// Send sends a message as the user, and returns the message's id. Without m.To
// the message is for the system's service, see [Cluster.Inbound].
func (c *Client) Send(system string, m client.Sending) (id string) {
	c.c.t.Helper()
	c.ask("send in "+system, func(ctx context.Context) (err error) {
		id, err = c.sdk.Send(ctx, system, m)
		return err
	})
	return id
}

// Join joins a room, on this connection and on later ones.
func (c *Client) Join(system, room string) {
	c.c.t.Helper()
	c.ask("join "+system+"/"+room, func(ctx context.Context) error {
		return c.sdk.Join(ctx, system, room, "")
	})
}

// Leave leaves a room.
func (c *Client) Leave(system, room string) {
	c.c.t.Helper()
	c.ask("leave "+system+"/"+room, func(ctx context.Context) error {
		return c.sdk.Leave(ctx, system, room)
	})
}

func (c *Client) ask(what string, do func(ctx context.Context) error) {
	c.c.t.Helper()
	if c.sdk == nil {
		c.c.t.Fatalf("cluster: %s speaks %s: it cannot %s", c.name, c.cfg.Protocol, what)
	}
	ctx, cancel := c.c.patience()
	defer cancel()
	if err := do(ctx); err != nil {
		c.fail("could not %s: %v", what, err)
	}
	c.note("did %s", what)
}

// wait waits until the client is in a state that is good enough.
func (c *Client) wait(what string, enough func(state) bool) {
	c.c.t.Helper()
	if err := c.box.wait(c.c.cfg.patience, enough); err != nil {
		c.fail("waited for it to %s: %v", what, err)
	}
}

func (c *Client) note(format string, args ...any) { c.c.tl.addClient(c.name, format, args...) }

// fail ends the test and shows what happened to the client.
func (c *Client) fail(format string, args ...any) {
	c.c.t.Helper()
	c.c.told.Store(true)
	c.c.t.Fatalf("%s: %s\nwhat happened to %s:\n%s", c.name, fmt.Sprintf(format, args...), c.name, c.c.tl.of(c.name))
}
