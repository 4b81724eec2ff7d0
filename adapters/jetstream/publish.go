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
	template  streamTemplate
	inspector *transport.Inspector
	inbox     string // answers go to <inbox>.<flight>.<record>
	lastBatch atomic.Uint64

	mu      sync.Mutex
	batches map[uint64]*batch // guarded by mu
	streams map[string]string // by topic, as far as known; guarded by mu
	checked map[string]bool   // topics whose streams can be published to; guarded by mu
}

// maxStreams is how many topics' streams a publisher remembers.
const maxStreams = 4096

// newAsyncPublisher opens a publisher, which ends with its connection.
func newAsyncPublisher(conn *natsconn.Conn, domain string, p streamTemplate, i *transport.Inspector) (*asyncPublisher, error) {
	d := &asyncPublisher{
		api: api{conn, domain}, template: p, inspector: i, inbox: conn.NewInbox(),
		batches: make(map[uint64]*batch), streams: make(map[string]string), checked: make(map[string]bool),
	}
	_, err := conn.Subscribe(d.inbox+".>", d.onAnswer)
	return d, err
}

// A batch is a pipeline of records on their way. Each record has its own
// outcome, and none before the stream's own answer to it was seen.
type batch struct {
	done chan struct{} // closed when nothing is missing any more

	mu      sync.Mutex
	errs    []error  // natsconn.ErrUnanswered until there is an outcome; guarded by mu
	streams []string // that the records are for; guarded by mu
	hint    error    // what a stranger answered, or the server refused of them; guarded by mu
	missing int      // guarded by mu
}

func newBatch(n int) *batch {
	return &batch{done: make(chan struct{}), errs: natsconn.Unanswered(n), streams: make([]string, n), missing: n}
}

// resolve gives a record its outcome, unless it has one.
func (b *batch) resolve(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.errs) || b.errs[i] != natsconn.ErrUnanswered {
		return
	}
	b.errs[i] = err
	if b.missing--; b.missing == 0 {
		close(b.done)
	}
}

// setStream notes which stream is to answer.
func (b *batch) setStream(i int, stream string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[i] = stream
}

func (b *batch) stream(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.streams) {
		return ""
	}
	return b.streams[i]
}

// resolveRefused gives the records that the server has refused their outcome. It does not
// say which they are: unless it refused as many of a topic's as are unanswered,
// a stream may have taken some, for the user's rights have just changed, and
// nothing is certain but by an answer.
func (b *batch) resolveRefused(records []transport.Outgoing, refused *natsconn.Refusals) {
	for topic, unanswered := range b.unanswered(records) {
		times, err := refused.OfPublish(topic)
		switch {
		case err == nil:
			continue
		case times > 0 && times != len(unanswered):
			b.setHint(err)
			continue
		}
		for _, i := range unanswered {
			b.resolve(i, err)
		}
	}
}

// unanswered returns the places of the records without an outcome, by topic.
func (b *batch) unanswered(records []transport.Outgoing) map[string][]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	places := make(map[string][]int, 1)
	for i, r := range records {
		if b.errs[i] == natsconn.ErrUnanswered {
			places[r.Topic] = append(places[r.Topic], i)
		}
	}
	return places
}

func (b *batch) setHint(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hint = err
}

// finish gives all records that have no outcome the error, and returns the errors.
// It returns nil if there is none.
func (b *batch) finish(err error) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.hint != nil {
		err = fmt.Errorf("%w: %v", err, b.hint) // which is not its cause
	}
	if err != nil {
		natsconn.FillUnanswered(b.errs, err)
	}
	for _, err := range b.errs {
		if err != nil {
			return b.errs
		}
	}
	return nil
}

// publish sends all records in order, once, and waits for the answers.
func (p *asyncPublisher) publish(ctx context.Context, records []transport.Outgoing) []error {
	if len(records) == 0 {
		return nil
	}
	f := newBatch(len(records))
	refused := p.api.conn.WatchRefusals()
	defer refused.Stop()
	id := p.add(f)
	defer p.remove(id)
	streams, bad := p.streamsFor(ctx, records)
	prefix := p.inbox + "." + strconv.FormatUint(id, 36) + "."
	for i, r := range records {
		err := bad[r.Topic]
		if err == nil {
			f.setStream(i, streams[r.Topic])
			err = p.send(ctx, r, prefix+strconv.Itoa(i))
		}
		if err != nil {
			f.resolve(i, err)
		}
	}
	for {
		select {
		case <-f.done:
			return f.finish(nil)
		case <-ctx.Done():
			p.forgetStreams() // a stream that does not answer may have changed
			return f.finish(ctx.Err())
		case <-p.api.conn.Ended():
			return f.finish(p.api.conn.EndCause())
		case <-refused.Changed():
			f.resolveRefused(records, refused)
		}
	}
}

func (p *asyncPublisher) add(f *batch) uint64 {
	id := p.lastBatch.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches[id] = f
	return id
}

func (p *asyncPublisher) remove(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.batches, id)
}

func (p *asyncPublisher) send(ctx context.Context, r transport.Outgoing, reply string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := natsconn.Encode(r)
	if err != nil {
		return err
	}
	m.Reply = reply
	return p.api.conn.PublishMsg(m)
}

// streamsFor makes sure that the topics have streams that can be published to, and
// returns their names, or why one has none.
func (p *asyncPublisher) streamsFor(ctx context.Context, records []transport.Outgoing) (streams map[string]string, bad map[string]error) {
	streams = make(map[string]string, 1)
	last := ""
	for _, r := range records {
		if r.Topic == last || streams[r.Topic] != "" || bad[r.Topic] != nil {
			continue
		}
		last = r.Topic
		name, err := p.streamOf(ctx, r.Topic, true)
		if err != nil {
			if bad == nil {
				bad = make(map[string]error)
			}
			bad[r.Topic] = notSentError(err)
			continue
		}
		streams[r.Topic] = name
	}
	return streams, bad
}

// notSentError is the error of a record that was not sent, since there is no stream
// for it. What the server answered, or has to change, is its refusal.
func notSentError(err error) error {
	answer := jetstream.JetStreamError(nil)
	for _, no := range []error{domain.ErrUnsupported, domain.ErrForbidden, errNoStreamTakes, nats.ErrNoResponders} {
		if errors.Is(err, no) {
			return domain.Refused(err)
		}
	}
	if errors.As(err, &answer) && answer.APIError() != nil {
		return domain.Refused(err)
	}
	return err
}

// streamOf returns the name of a topic's streamOf. If it is to create one, the
// caller wants to publish: the streamOf has to be one that can be published to, so
// far as who publishes may see what it is. Else, if there is none, it returns "".
func (p *asyncPublisher) streamOf(ctx context.Context, topic string, create bool) (name string, err error) {
	p.mu.Lock()
	name, checked := p.streams[topic], p.checked[topic]
	p.mu.Unlock()
	if name != "" && (checked || !create) {
		return name, nil
	}
	err = p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		if create {
			name, err = p.template.findOrCreate(ctx, js, topic)
			return err
		}
		name, err = js.StreamNameBySubject(ctx, topic)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) && !create {
		return "", nil
	}
	if err == nil && create {
		err = p.check(ctx, name, topic)
	}
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.streams) >= maxStreams {
		clear(p.streams)
		clear(p.checked)
	}
	p.streams[topic], p.checked[topic] = name, create
	return name, nil
}

// check says why a stream cannot be published to.
func (p *asyncPublisher) check(ctx context.Context, name, topic string) error {
	var info *jetstream.StreamInfo
	err := p.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = streamInfo(ctx, js, name)
		return err
	})
	switch {
	case errors.Is(err, domain.ErrForbidden):
		return nil // the stream's answers will tell
	case err != nil:
		return err
	}
	inspect(p.inspector, &info.Config, topic)
	return checkFit(&info.Config, topic, unwritable)
}

// forgetStreams drops what is known of all topics' streams: one of them is gone.
func (p *asyncPublisher) forgetStreams() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.streams)
	clear(p.checked)
}

// onAnswer takes the server's answer to one record. It runs in nats.go's
// goroutine for the publisher's subscription.
func (p *asyncPublisher) onAnswer(m *nats.Msg) {
	which, _ := strings.CutPrefix(m.Subject, p.inbox+".")
	left, right, _ := strings.Cut(which, ".")
	id, err := strconv.ParseUint(left, 36, 64)
	i, bad := strconv.Atoi(right)
	if err != nil || bad != nil || i < 0 {
		return
	}
	p.mu.Lock()
	f := p.batches[id]
	p.mu.Unlock()
	if f == nil {
		return // too late
	}
	if err = readAck(m, f.stream(i)); err != nil {
		if odd := (*foreignAnswer)(nil); errors.As(err, &odd) {
			f.setHint(odd)
			return
		}
		p.forgetStreams() // the stream may be another by now
	}
	f.resolve(i, err)
}
