package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Client holds one session with Fanfare, and comes back when it is lost. It
// is safe for concurrent use.
type Client struct {
	cfg  Config
	wake chan struct{} // for the writer: there is something to send

	mu      sync.Mutex // guards what follows; nothing is called with it held
	running bool
	ended   bool
	queue   *queue            // of the present Run
	handled map[string]string // cursors, by system, that the Handler is done with
	seen    map[string]string // cursors that have come; what a connection resumes with
	systems []string          // to attach to
	rooms   []string          // to name at connect, as system/room
	open    bool              // there is a session
	ref     uint64            // of the newest call
	pending map[uint64]*call  // that have no answer
	unsent  []*call           // of pending and of nobody's, in the order of sending
	late    *call             // the one late join that a node is asked for now
	lateAt  time.Time         // no late join is asked for before
	holds   map[string]int    // late joins by system; while there are some, handled waits
	behind  map[string]string // what handled will be when they are done
}

// New makes a client. What is wrong with cfg comes as one error that names
// every fault. Nothing happens before Run.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Client{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		handled: map[string]string{},
		systems: slices.Clone(cfg.Systems),
		rooms:   slices.Clone(cfg.Rooms),
		pending: map[uint64]*call{},
		holds:   map[string]int{},
		behind:  map[string]string{},
	}
	for _, system := range cfg.Systems {
		if cursor := cfg.Resume[system]; cursor != "" {
			c.handled[system] = cursor
		}
	}
	return c, nil
}

// Run holds the session, and calls the Handler, until ctx ends: then it
// returns nil, whatever the Handler makes of that. It returns earlier, with an error, when the Handler has failed,
// or where coming back would be wrong: a *CloseError with one of the codes
// 1008, 1009, 4003, 4009 and 4010, or 4001 without Config.Token, and a *Refusal
// by a node with one of the 400s other than 408 and 429, or by anybody with 414
// or 431, too long; what else a proxy says itself may pass. Run may be called again after it has
// returned, and goes on from Cursors.
func (c *Client) Run(ctx context.Context) error {
	q, err := c.begin()
	if err != nil {
		return err
	}
	link, cut := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { q.close(c.stay(link, q)) })
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
				return nil // what it did was cut short
			}
			return err
		}
	}
}

// handlingKey marks the context of a Handler with its Client.
type handlingKey struct{}

// Cursors returns how far each system has been seen, by name. A message's
// cursor is there once Handler.Message has returned. It is a copy.
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

// end lets go of all who wait.
func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.ended, c.open, c.queue, c.unsent = false, true, false, nil, nil
	for _, call := range c.pending {
		c.settle(call, "", call.abandoned())
		if call.late {
			c.rooms = append(c.rooms, call.room) // another Run goes on in it
		}
	}
	clear(c.holds) // what the rooms missed was not told: handled stays before it
	clear(c.behind)
}

// handle tells the Handler of an event, and notes that it has been told.
func (c *Client) handle(ctx context.Context, e *event) error {
	if err := c.tell(ctx, e); err != nil {
		if e.lost != nil {
			return fmt.Errorf("client: handling a lost connection: %w", err)
		}
		return fmt.Errorf("client: handling %s %s %s: %w", e.op.Name, e.op.System, e.op.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.released != "" {
		c.release(e.released)
	} else if c.holds[e.op.System] > 0 {
		c.advance(c.behind, &e.op)
	} else {
		c.advance(c.handled, &e.op)
	}
	return nil
}

func (c *Client) tell(ctx context.Context, e *event) error {
	h, o := &c.cfg.Handler, &e.op
	switch {
	case e.lost != nil:
		return invoke(ctx, h.Lost, func() *Lost { return e.lost })
	case e.released != "":
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
	}
	return nil
}

// invoke calls one function of a Handler, if there is one.
func invoke[T any](ctx context.Context, f func(context.Context, T) error, of func() T) error {
	if f == nil {
		return nil
	}
	return f(ctx, of())
}

// advance notes in cursors what an op says about them. Without one the place
// is what it was. What a hello says of a system that has a cursor is left: if
// the connection breaks before anything else comes, that cursor is the place
// to go on from. The caller holds mu.
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

// stay keeps the client connected until ctx ends, or until coming back would
// be wrong: then it says why.
func (c *Client) stay(ctx context.Context, q *queue) error {
	for failures := 0; ; {
		end := c.session(ctx, q)
		if ctx.Err() != nil {
			return nil
		}
		if c.final(end.err) {
			return end.err
		}
		if failures++; end.lasted >= good {
			failures = 0
		}
		delay := c.delay(end, failures)
		if q.push(ctx, event{lost: &Lost{Err: end.err, Delay: delay, Failures: failures}}) != nil || !pause(ctx, delay) {
			return nil
		}
	}
}

// delay is how long to wait before coming back. A node that always sends away
// is a failure, too.
func (c *Client) delay(end ending, failures int) time.Duration {
	told := end.asked > 0 || isClose(end.err, CodeExpired)
	if told && failures == 0 {
		return end.asked
	}
	return end.asked + backoff(c.cfg.FirstPause, c.cfg.MaxPause, failures)
}

// final says that coming back would be wrong.
func (c *Client) final(err error) bool {
	var closed *CloseError
	var refused *Refusal
	switch {
	case errors.As(err, &closed):
		return closed.final() || closed.Code == CodeExpired && c.cfg.Token == nil
	case errors.As(err, &refused):
		return refused.final()
	}
	return errors.Is(err, errTooBig)
}

func isClose(err error, code int) bool {
	var closed *CloseError
	return errors.As(err, &closed) && closed.Code == code
}
