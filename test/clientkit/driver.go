package clientkit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// An Op is one JSON object: an op of the protocol, or a line of a driver.
type Op map[string]any

// A Client is a client that is tested, by the drivers of it. It is safe for concurrent
// use. A driver is used for one scenario after the other, as long as none fails.
type Client struct {
	open func(ctx context.Context) (io.ReadWriteCloser, error)

	mu   sync.Mutex
	idle []*driver // guarded by mu
	all  []*driver // guarded by mu
}

// NewClient returns a Client whose drivers open starts. Closing what open returned must
// end the driver.
func NewClient(open func(ctx context.Context) (io.ReadWriteCloser, error)) *Client {
	return &Client{open: open}
}

// Close ends all drivers.
func (c *Client) Close() {
	c.mu.Lock()
	all := c.all
	c.idle, c.all = nil, nil
	c.mu.Unlock()
	for _, d := range all {
		d.close()
	}
}

// Can says what the client can do, beside what all clients can.
func (c *Client) Can(ctx context.Context) (map[string]bool, error) {
	d, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack(d)
	return d.can, nil
}

func (c *Client) take(ctx context.Context) (*driver, error) {
	c.mu.Lock()
	if last := len(c.idle) - 1; last >= 0 {
		d := c.idle[last]
		c.idle = c.idle[:last]
		c.mu.Unlock()
		return d, nil
	}
	c.mu.Unlock()
	d, err := startDriver(ctx, c.open)
	if err != nil {
		return nil, fmt.Errorf("clientkit: starting a driver: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, d)
	return d, nil
}

func (c *Client) giveBack(d *driver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, d)
}

// A driver is one driver that runs.
type driver struct {
	pipe   io.ReadWriteCloser
	can    map[string]bool
	events chan Op       // what it wrote; closed when it has ended
	gone   chan struct{} // closed by close
	once   sync.Once

	mu  sync.Mutex // one line is written at a time
	err error      // why reading ended; set before events is closed
}

// mostWaiting is how many lines of a driver can wait for the scenario.
const mostWaiting = 10_000

func startDriver(ctx context.Context, open func(context.Context) (io.ReadWriteCloser, error)) (*driver, error) {
	pipe, err := open(ctx)
	if err != nil {
		return nil, err
	}
	d := &driver{pipe: pipe, events: make(chan Op, mostWaiting), gone: make(chan struct{}), can: map[string]bool{}}
	go d.read()
	select {
	case first, ok := <-d.events:
		if !ok || first["e"] != "ready" {
			d.close()
			return nil, fmt.Errorf("the first line is not ready: %v (%w)", first, d.err)
		}
		can, _ := first["can"].([]any)
		for _, ability := range can {
			d.can[fmt.Sprint(ability)] = true
		}
		return d, nil
	case <-ctx.Done():
		d.close()
		return nil, ctx.Err()
	}
}

// read ends when the pipe is closed.
func (d *driver) read() {
	defer close(d.events)
	lines := bufio.NewReaderSize(d.pipe, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			d.err = err
			return
		}
		var o Op
		if err := json.Unmarshal(line, &o); err != nil {
			d.err = fmt.Errorf("line %.200q: %w", line, err)
			return
		}
		select {
		case d.events <- o:
		case <-d.gone:
			d.err = errors.New("closed")
			return
		}
	}
}

func (d *driver) write(o Op) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err = d.pipe.Write(append(line, '\n'))
	return err
}

func (d *driver) close() {
	d.once.Do(func() {
		close(d.gone)
		_ = d.pipe.Close()
	})
}
