package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A desk publishes on one connection: many messages on their way at once, each
// with a subject of its own for the server's answer. It is safe for concurrent
// use.
type desk struct {
	api   api
	plan  plan
	inbox string // answers go to <inbox>.<flight>.<record>
	last  atomic.Uint64

	mu      sync.Mutex
	flights map[uint64]*flight // guarded by mu
	streams map[string]string  // by topic, as far as known; guarded by mu
}

// maxStreams is how many topics' streams a desk remembers.
const maxStreams = 4096

// newDesk opens a desk, which ends with its connection.
func newDesk(conn *natsconn.Conn, domain string, p plan) (*desk, error) {
	d := &desk{
		api: api{conn, domain}, plan: p, inbox: conn.NewInbox(),
		flights: make(map[uint64]*flight), streams: make(map[string]string),
	}
	_, err := conn.Subscribe(d.inbox+".>", d.answered)
	return d, err
}

// A flight is a pipeline of records on their way.
type flight struct {
	done chan struct{} // closed when nothing is missing any more

	mu      sync.Mutex
	errs    []error // guarded by mu
	answers []bool  // guarded by mu
	missing int     // guarded by mu
}

// settle gives a record its outcome, unless it has one.
func (f *flight) settle(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.answers) || f.answers[i] {
		return
	}
	f.answers[i], f.errs[i] = true, err
	if f.missing--; f.missing == 0 {
		close(f.done)
	}
}

// end gives all records that have no outcome the error, and returns the errors.
// It returns nil if there is none.
func (f *flight) end(err error) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := false
	for i := range f.errs {
		if !f.answers[i] {
			f.answers[i], f.errs[i] = true, err
		}
		failed = failed || f.errs[i] != nil
	}
	if !failed {
		return nil
	}
	return f.errs
}

// publish sends all records in order, once, and waits for the answers.
func (d *desk) publish(ctx context.Context, records []transport.Outgoing) []error {
	n := len(records)
	f := &flight{done: make(chan struct{}), errs: make([]error, n), answers: make([]bool, n), missing: n}
	if n == 0 {
		return nil
	}
	refused := d.api.conn.Watch()
	defer refused.Stop()
	id := d.takeOff(f)
	defer d.land(id)
	bad := d.prepare(ctx, records)
	prefix := d.inbox + "." + strconv.FormatUint(id, 36) + "."
	for i, r := range records {
		err := bad[r.Topic]
		if err == nil {
			err = d.send(ctx, r, prefix+strconv.Itoa(i))
		}
		if err != nil {
			f.settle(i, err)
		}
	}
	for {
		select {
		case <-f.done:
			return f.end(nil)
		case <-ctx.Done():
			return f.end(ctx.Err())
		case <-d.api.conn.Ended():
			return f.end(d.api.conn.Why())
		case <-refused.Told():
			for i, r := range records {
				if err := refused.Publish(r.Topic); err != nil {
					f.settle(i, err)
				}
			}
		}
	}
}

func (d *desk) takeOff(f *flight) uint64 {
	id := d.last.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flights[id] = f
	return id
}

func (d *desk) land(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flights, id)
}

func (d *desk) send(ctx context.Context, r transport.Outgoing, reply string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := natsconn.Encode(r)
	if err != nil {
		return err
	}
	m.Reply = reply
	return d.api.conn.PublishMsg(m)
}

// prepare makes sure that the topics have streams, and returns why one has none.
func (d *desk) prepare(ctx context.Context, records []transport.Outgoing) map[string]error {
	var bad map[string]error
	last := ""
	for _, r := range records {
		if r.Topic == last || bad[r.Topic] != nil {
			continue
		}
		last = r.Topic
		if _, err := d.stream(ctx, r.Topic, true); err != nil {
			if bad == nil {
				bad = make(map[string]error)
			}
			bad[r.Topic] = err
		}
	}
	return bad
}

// stream returns the name of a topic's stream. If there is none it makes one if
// it is to, and else returns "".
func (d *desk) stream(ctx context.Context, topic string, create bool) (name string, err error) {
	d.mu.Lock()
	name = d.streams[topic]
	d.mu.Unlock()
	if name != "" {
		return name, nil
	}
	err = d.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		if create {
			name, err = d.plan.find(ctx, js, topic)
			return err
		}
		name, err = js.StreamNameBySubject(ctx, topic)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) && !create {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.streams) >= maxStreams {
		clear(d.streams)
	}
	d.streams[topic] = name
	return name, nil
}

// forget drops what is known of all topics' streams: one of them is gone.
func (d *desk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.streams)
}

// answered takes the server's answer to one record. It runs in nats.go's
// goroutine for the desk's subscription.
func (d *desk) answered(m *nats.Msg) {
	which, _ := strings.CutPrefix(m.Subject, d.inbox+".")
	left, right, _ := strings.Cut(which, ".")
	id, err := strconv.ParseUint(left, 36, 64)
	i, bad := strconv.Atoi(right)
	if err != nil || bad != nil || i < 0 {
		return
	}
	d.mu.Lock()
	f := d.flights[id]
	d.mu.Unlock()
	if f == nil {
		return // too late
	}
	err = readAck(m)
	if errors.Is(err, errNoStream) {
		d.forget()
	}
	f.settle(i, err)
}

var errNoStream = errors.New("no stream has taken it")

// readAck reads what the server answers to a published message.
func readAck(m *nats.Msg) error {
	switch status := m.Header.Get("Status"); {
	case status == "503":
		return errNoStream
	case status != "":
		return fmt.Errorf("the server answered %s %s", status, m.Header.Get("Description"))
	case bytes.Contains(m.Data, []byte(`"seq":`)) && !bytes.Contains(m.Data, []byte(`"error":`)):
		return nil
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	switch e := answer.Error; {
	case e == nil && answer.Seq > 0:
		return nil
	case e == nil:
		return errors.New("the server's answer says nothing")
	case e.ErrCode == int(jetstream.JSErrCodeStreamMessageExceedsMaximum):
		return fmt.Errorf("%w: %s", domain.ErrTooLarge, e.Description)
	default:
		return fmt.Errorf("the server answered %d: %s (%d)", e.Code, e.Description, e.ErrCode)
	}
}
