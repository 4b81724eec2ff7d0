package jetstream

import (
	"context"
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

// A asyncPublisher publishes on one connection: many messages on their way at once, each
// with a subject of its own for the server's answer. It is safe for concurrent
// use.
type asyncPublisher struct {
	api       api
	plan      plan
	inspector *transport.Inspector
	inbox     string // answers go to <inbox>.<flight>.<record>
	last      atomic.Uint64

	mu      sync.Mutex
	flights map[uint64]*flight // guarded by mu
	streams map[string]string  // by topic, as far as known; guarded by mu
	checked map[string]bool    // topics whose streams can be published to; guarded by mu
}

// maxStreams is how many topics' streams a publisher remembers.
const maxStreams = 4096

// newAsyncPublisher opens a publisher, which ends with its connection.
func newAsyncPublisher(conn *natsconn.Conn, domain string, p plan, i *transport.Inspector) (*asyncPublisher, error) {
	d := &asyncPublisher{
		api: api{conn, domain}, plan: p, inspector: i, inbox: conn.NewInbox(),
		flights: make(map[uint64]*flight), streams: make(map[string]string), checked: make(map[string]bool),
	}
	_, err := conn.Subscribe(d.inbox+".>", d.answered)
	return d, err
}

// A flight is a pipeline of records on their way. Each record has its own
// outcome, and none before the stream's own answer to it was seen.
type flight struct {
	done chan struct{} // closed when nothing is missing any more

	mu      sync.Mutex
	errs    []error  // natsconn.ErrUnanswered until there is an outcome; guarded by mu
	streams []string // that the records are for; guarded by mu
	odd     error    // what a stranger answered, or the server refused of them; guarded by mu
	missing int      // guarded by mu
}

func newFlight(n int) *flight {
	return &flight{done: make(chan struct{}), errs: natsconn.Unanswered(n), streams: make([]string, n), missing: n}
}

// settle gives a record its outcome, unless it has one.
func (f *flight) settle(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.errs) || f.errs[i] != natsconn.ErrUnanswered {
		return
	}
	f.errs[i] = err
	if f.missing--; f.missing == 0 {
		close(f.done)
	}
}

// expect notes which stream is to answer.
func (f *flight) expect(i int, stream string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[i] = stream
}

func (f *flight) stream(i int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.streams) {
		return ""
	}
	return f.streams[i]
}

// judge gives the records that the server has refused their outcome. It does not
// say which they are: unless it refused as many of a topic's as are unanswered,
// a stream may have taken some, for the user's rights have just changed, and
// nothing is certain but by an answer.
func (f *flight) judge(records []transport.Outgoing, refused *natsconn.Watch) {
	for topic, unanswered := range f.unanswered(records) {
		times, err := refused.Publish(topic)
		switch {
		case err == nil:
			continue
		case times > 0 && times != len(unanswered):
			f.wonder(err)
			continue
		}
		for _, i := range unanswered {
			f.settle(i, err)
		}
	}
}

// unanswered returns the places of the records without an outcome, by topic.
func (f *flight) unanswered(records []transport.Outgoing) map[string][]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	places := make(map[string][]int, 1)
	for i, r := range records {
		if f.errs[i] == natsconn.ErrUnanswered {
			places[r.Topic] = append(places[r.Topic], i)
		}
	}
	return places
}

func (f *flight) wonder(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.odd = err
}

// end gives all records that have no outcome the error, and returns the errors.
// It returns nil if there is none.
func (f *flight) end(err error) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.odd != nil {
		err = fmt.Errorf("%w: %v", err, f.odd) // which is not its cause
	}
	if err != nil {
		natsconn.Fill(f.errs, err)
	}
	for _, err := range f.errs {
		if err != nil {
			return f.errs
		}
	}
	return nil
}

// publish sends all records in order, once, and waits for the answers.
func (d *asyncPublisher) publish(ctx context.Context, records []transport.Outgoing) []error {
	if len(records) == 0 {
		return nil
	}
	f := newFlight(len(records))
	refused := d.api.conn.Watch()
	defer refused.Stop()
	id := d.takeOff(f)
	defer d.land(id)
	streams, bad := d.prepare(ctx, records)
	prefix := d.inbox + "." + strconv.FormatUint(id, 36) + "."
	for i, r := range records {
		err := bad[r.Topic]
		if err == nil {
			f.expect(i, streams[r.Topic])
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
			d.forget() // a stream that does not answer may have changed
			return f.end(ctx.Err())
		case <-d.api.conn.Ended():
			return f.end(d.api.conn.Why())
		case <-refused.Told():
			f.judge(records, refused)
		}
	}
}

func (d *asyncPublisher) takeOff(f *flight) uint64 {
	id := d.last.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flights[id] = f
	return id
}

func (d *asyncPublisher) land(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flights, id)
}

func (d *asyncPublisher) send(ctx context.Context, r transport.Outgoing, reply string) error {
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

// prepare makes sure that the topics have streams that can be published to, and
// returns their names, or why one has none.
func (d *asyncPublisher) prepare(ctx context.Context, records []transport.Outgoing) (streams map[string]string, bad map[string]error) {
	streams = make(map[string]string, 1)
	last := ""
	for _, r := range records {
		if r.Topic == last || streams[r.Topic] != "" || bad[r.Topic] != nil {
			continue
		}
		last = r.Topic
		name, err := d.stream(ctx, r.Topic, true)
		if err != nil {
			if bad == nil {
				bad = make(map[string]error)
			}
			bad[r.Topic] = unsent(err)
			continue
		}
		streams[r.Topic] = name
	}
	return streams, bad
}

// unsent is the error of a record that was not sent, since there is no stream
// for it. What the server answered, or has to change, is its refusal.
func unsent(err error) error {
	answer := jetstream.JetStreamError(nil)
	for _, no := range []error{domain.ErrUnsupported, domain.ErrForbidden, errNone, nats.ErrNoResponders} {
		if errors.Is(err, no) {
			return domain.Refused(err)
		}
	}
	if errors.As(err, &answer) && answer.APIError() != nil {
		return domain.Refused(err)
	}
	return err
}

// stream returns the name of a topic's stream. If it is to create one, the
// caller wants to publish: the stream has to be one that can be published to, so
// far as who publishes may see what it is. Else, if there is none, it returns "".
func (d *asyncPublisher) stream(ctx context.Context, topic string, create bool) (name string, err error) {
	d.mu.Lock()
	name, checked := d.streams[topic], d.checked[topic]
	d.mu.Unlock()
	if name != "" && (checked || !create) {
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
	if err == nil && create {
		err = d.check(ctx, name, topic)
	}
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.streams) >= maxStreams {
		clear(d.streams)
		clear(d.checked)
	}
	d.streams[topic], d.checked[topic] = name, create
	return name, nil
}

// check says why a stream cannot be published to.
func (d *asyncPublisher) check(ctx context.Context, name, topic string) error {
	var info *jetstream.StreamInfo
	err := d.api.ask(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = look(ctx, js, name)
		return err
	})
	switch {
	case errors.Is(err, domain.ErrForbidden):
		return nil // the stream's answers will tell
	case err != nil:
		return err
	}
	inspect(d.inspector, &info.Config, topic)
	return refuse(&info.Config, topic, unwritable)
}

// forget drops what is known of all topics' streams: one of them is gone.
func (d *asyncPublisher) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.streams)
	clear(d.checked)
}

// answered takes the server's answer to one record. It runs in nats.go's
// goroutine for the publisher's subscription.
func (d *asyncPublisher) answered(m *nats.Msg) {
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
	if err = readAck(m, f.stream(i)); err != nil {
		if odd := (*stranger)(nil); errors.As(err, &odd) {
			f.wonder(odd)
			return
		}
		d.forget() // the stream may be another by now
	}
	f.settle(i, err)
}
