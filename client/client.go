package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Client holds one session with Fanfare, and connects again when the connection
// is lost. It is safe for concurrent use.
type Client struct {
	cfg       Config
	tokenTurn chan struct{} // holds a token while Config.Token is called

	mu      sync.Mutex // guards all fields below; no function of a user is called with it held
	running bool       // Run has been called and has not returned
	ended   bool       // Run has returned and has not been called again
	queue   *queue     // of the Run that is running; nil without one

	// Cursors, by system. What a connection resumes with is ahead of what the
	// Handler has dealt with by what is in the queue.
	handled map[string]string // the Handler has returned for all up to here
	seen    map[string]string // all up to here has been received

	systems []string // to attach to
	rooms   []string // to join by naming them when connecting, as system/room

	watches map[string]string // places to watch on each connection, and how: see call.watch

	current *session         // the newest whose node has said hello; nil if it has ended
	ref     uint64           // of the newest call
	pending map[uint64]*call // the calls that have no answer yet, by ref
	unsent  []*call          // the calls to send, in this order; some are not in pending

	// Late joins: see late.go.
	late   *call             // the one that was sent and has no answer yet
	lateAt time.Time         // the next one is not sent before
	holds  map[string]int    // how many are left, by system; until there are none, handled stays
	behind map[string]string // what handled will be when there are none
}

// New makes a Client. If cfg has faults, the error names all of them. New does not
// connect: Run does.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Client{
		cfg:       cfg,
		tokenTurn: make(chan struct{}, 1),
		handled:   map[string]string{},
		systems:   slices.Clone(cfg.Systems),
		rooms:     slices.Clone(cfg.Rooms),
		watches:   map[string]string{},
		pending:   map[uint64]*call{},
		holds:     map[string]int{},
		behind:    map[string]string{},
	}
	for _, system := range cfg.Systems {
		if cursor := cmp.Or(cfg.From[system], cfg.Resume[system]); cursor != "" {
			c.handled[system] = cursor
		}
	}
	return c, nil
}

// Run connects, and calls the Handler, until ctx ends. Then it returns nil, even if
// the Handler returned an error because ctx ended.
//
// It returns an error earlier in these cases:
//   - A function of the Handler returned an error.
//   - The node closed the session, and connecting again would be wrong: the error is a
//     [CloseError] with code 1008, 1009, 4003, 4009 or 4010, with one from 4100 to 4999,
//     which are those of applications, or 4001 without Config.Token. If the node said that
//     the client should come back, with whatever code, the client does; and if the node
//     said that it should not, Run ends.
//   - The node refused the connection for a reason that stays: the error is a [Refusal]
//     with a status from 400 to 499 other than 408 and 429. A 401 does not count right
//     after a session that ended so that the client gets another token, up to three
//     times. If a proxy answered instead of a node, only 414 and 431 count, which say
//     that the request is too long: its other answers may change.
//   - The node sent a frame larger than Config.FrameBytes.
//
// Run may be called again after it has returned. It continues from Cursors.
func (c *Client) Run(ctx context.Context) error {
	q, err := c.begin()
	if err != nil {
		return err
	}
	link, cut := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { q.close(c.keepConnected(link, q)) })
	defer func() {
		cut()
		work.Wait()
		c.end()
	}()
	handling := context.WithValue(ctx, handlingKey{}, c)
	for {
		e, ok, err := q.pop(ctx)
		if !ok {
			return err
		}
		if err := c.handle(handling, &e); err != nil {
			if ctx.Err() != nil {
				return nil // the error may only say that ctx has ended
			}
			return err
		}
	}
}

// handlingKey is the key under which the context of a Handler's function holds its
// Client.
type handlingKey struct{}

// Cursors returns how far each system has been handled, by the system's name. The
// cursor of a message is there once Handler.Message has returned. The map is a copy.
func (c *Client) Cursors() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.handled)
}

func (c *Client) begin() (*queue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return nil, ErrRunning
	}
	c.running, c.ended = true, false
	c.seen = maps.Clone(c.handled)
	c.queue = newQueue(c.cfg.QueueBytes, c.waiting)
	return c.queue, nil
}

// end answers all calls that wait.
func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.ended, c.current, c.queue, c.unsent = false, true, nil, nil, nil
	for _, call := range c.pending {
		c.settle(call, "", call.abandoned())
		if call.late {
			c.rooms = append(c.rooms, call.room) // the next Run joins it
		}
	}
	clear(c.holds) // what the rooms missed was not handled, so handled does not move
	clear(c.behind)
}

// handle calls the Handler for an event, and then moves the cursors.
func (c *Client) handle(ctx context.Context, e *event) error {
	if err := c.notify(ctx, e); err != nil {
		if e.lost != nil {
			return fmt.Errorf("client: handling a lost connection: %w", err)
		}
		return fmt.Errorf("client: handling %s %s %s: %w", e.op.Name, e.op.System, e.op.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Handler.Message != nil || c.cfg.Handler.Op != nil {
		e.on.ack(&e.op)
	}
	if e.repeated {
		return nil
	} else if e.released != "" {
		c.release(e.released)
	} else if c.holds[e.op.System] > 0 {
		c.advance(c.behind, &e.op)
	} else {
		c.advance(c.handled, &e.op)
	}
	return nil
}

// notify calls the functions of the Handler that an event is for.
func (c *Client) notify(ctx context.Context, e *event) error {
	h, o := &c.cfg.Handler, &e.op
	switch {
	case e.lost != nil:
		return invoke(ctx, h.Lost, func() *Lost { return e.lost })
	case e.released != "", e.repeated:
		return nil
	}
	if err := invoke(ctx, h.Op, func() []byte { return e.raw }); err != nil {
		return err
	}
	switch o.Name {
	case "hello":
		return invoke(ctx, h.Hello, o.hello)
	case "message":
		return invoke(ctx, h.Message, o.message)
	case "gap":
		return invoke(ctx, h.Gap, o.gap)
	case "bus":
		return invoke(ctx, h.Bus, func() bool { return o.Up })
	case "left":
		return invoke(ctx, h.Left, func() *Left { return &Left{o.System, o.Room, o.Reason} })
	case "joined":
		return invoke(ctx, h.Joined, func() *Joined { return &Joined{o.System, o.Room, o.By} })
	case "presence":
		return invoke(ctx, h.Presence, o.presence)
	}
	return nil
}

// invoke calls one function of a Handler, if it is set, with what arg returns.
func invoke[T any](ctx context.Context, f func(context.Context, T) error, arg func() T) error {
	if f == nil {
		return nil
	}
	return f(ctx, arg())
}

// advance puts the cursor of an op into cursors; an op without one changes nothing.
// A hello gives a cursor only to systems that have none: where there is one, messages
// between the two may be on their way, and if the connection breaks before they come,
// the next one has to resume from the older cursor. The caller holds mu.
func (c *Client) advance(cursors map[string]string, o *op) {
	note := func(system, cursor string) {
		if cursor != "" && slices.Contains(c.cfg.Systems, system) {
			cursors[system] = cursor
		}
	}
	switch o.Name {
	case "hello":
		for system, at := range o.Systems {
			if cursors[system] == "" {
				note(system, at.Cursor)
			}
		}
	case "message", "gap", "cursor":
		note(o.System, o.Cursor)
	}
}

// keepConnected connects again and again until ctx ends, and then returns nil; or
// until connecting again would be wrong, and then returns why.
func (c *Client) keepConnected(ctx context.Context, q *queue) error {
	fresh := 0 // how many refusals of a token count as refusals of a fresh one
	for failures := 0; ; {
		end := c.session(ctx, q)
		if ctx.Err() != nil {
			return nil
		}
		if c.final(end.err) && !(fresh > 0 && isUnauthorized(end.err)) {
			return end.err
		}
		if fresh--; c.cfg.Token != nil && wantsToken(end.err) {
			fresh = freshTries
		}
		if failures++; end.lasted >= stableAfter {
			failures = 0
		}
		delay := c.delay(end, failures)
		lost := &Lost{Err: end.err, Delay: delay, Failures: failures}
		if q.push(ctx, event{lost: lost}) != nil || !pause(ctx, delay) {
			return nil
		}
	}
}

// delay returns how long to wait before connecting again. After a connection that
// lasted, and that the node ended by asking for a pause or since the token had expired,
// that is what the node asked for; and so it is after a node has left time to connect to
// another one, which could not be done. In all other cases a random time is added: also
// when nodes end connections one after the other before they have lasted.
func (c *Client) delay(end ending, failures int) time.Duration {
	told := end.asked > 0 || isClose(end.err, CodeExpired)
	if told && (failures == 0 || end.graceful && failures <= patientFailures) {
		return end.asked
	}
	return end.asked + backoff(c.cfg.FirstPause, c.cfg.MaxPause, failures)
}

// patientFailures is how many connections in a row may not last, and be followed by the next
// one when the node has asked for, before a random time is added.
const patientFailures = 3

// final says whether connecting again would be wrong.
func (c *Client) final(err error) bool {
	var closed *CloseError
	var refused *Refusal
	switch {
	case errors.As(err, &closed):
		return closed.final(c.cfg.Token != nil)
	case errors.As(err, &refused):
		return refused.final()
	}
	return errors.Is(err, errTooBig)
}

// freshTries is how often a token is fetched anew while nodes refuse it, after a session
// was ended so that the client gets another token. Tokens say only in which second they
// were issued. A token from the very second in which the older ones were revoked is
// revoked like them.
const freshTries = 3

// wantsToken says whether a node ended a session so that the client gets another token.
func wantsToken(err error) bool {
	var closed *CloseError
	return errors.As(err, &closed) && (closed.Code == CodeExpired || closed.Reconnect)
}

func isUnauthorized(err error) bool {
	var refused *Refusal
	return errors.As(err, &refused) && refused.Status == http.StatusUnauthorized
}

func isClose(err error, code int) bool {
	var closed *CloseError
	return errors.As(err, &closed) && closed.Code == code
}
