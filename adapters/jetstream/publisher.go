package jetstream

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
)

// An asyncPublisher publishes on one connection. It sends many records before it
// waits for the first answer; each record has a subject of its own to which the server
// answers. An asyncPublisher is safe for concurrent use.
type asyncPublisher struct {
	api       api
	template  streamTemplate
	inspector *transport.Inspector
	inbox     string        // answers go to <inbox>.<batch>.<record>
	lastBatch atomic.Uint64 // the number of the newest batch

	mu      sync.Mutex
	batches map[uint64]*pendingBatch // that wait for answers, by number; guarded by mu
	streams map[string]target        // by topic, as far as known; guarded by mu
}

// newAsyncPublisher opens a publisher, which ends with its connection.
func newAsyncPublisher(
	conn *natsconn.Conn, jsDomain string, template streamTemplate, inspector *transport.Inspector,
) (*asyncPublisher, error) {
	p := &asyncPublisher{
		api: api{conn, jsDomain}, template: template, inspector: inspector, inbox: conn.NewInbox(),
		batches: make(map[uint64]*pendingBatch),
		streams: make(map[string]target),
	}
	_, err := conn.Subscribe(p.inbox+".>", p.onAnswer)
	return p, err
}

// publish sends all records in order, once, and waits for the answers. It notes in the
// records where their logs have them.
func (p *asyncPublisher) publish(ctx context.Context, records []transport.Outgoing) []error {
	if len(records) == 0 {
		return nil
	}
	b := newPendingBatch(len(records))
	refusals := p.api.conn.WatchRefusals()
	defer refusals.Stop()
	number := p.add(b)
	defer p.remove(number)
	p.sendAll(ctx, records, b, p.inbox+"."+strconv.FormatUint(number, 36)+".")
	for {
		select {
		case <-b.done:
			errs := b.finish(nil)
			if !b.locate(records) {
				p.forgetStreams()
			}
			return errs
		case <-ctx.Done():
			p.forgetStreams() // no answer may mean that the topic has another stream now
			return b.finish(ctx.Err())
		case <-p.api.conn.Ended():
			return b.finish(p.api.conn.EndCause())
		case <-refusals.Changed():
			b.resolveRefused(records, refusals)
		}
	}
}

// sendAll sends the records of a batch, whose answers go to subjects under prefix. A
// record that cannot be sent gets its outcome here.
func (p *asyncPublisher) sendAll(
	ctx context.Context, records []transport.Outgoing, b *pendingBatch, prefix string,
) {
	streams, faults := p.streamsFor(ctx, records)
	for i, r := range records {
		err := faults[r.Topic]
		if err == nil {
			b.setTarget(i, streams[r.Topic])
			err = p.send(ctx, r, prefix+strconv.Itoa(i))
		}
		if err != nil {
			b.resolve(i, 0, err)
		}
	}
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

// add makes a batch known to onAnswer, and returns its number.
func (p *asyncPublisher) add(b *pendingBatch) uint64 {
	number := p.lastBatch.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches[number] = b
	return number
}

func (p *asyncPublisher) remove(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.batches, number)
}

// onAnswer takes the server's answer to one record. It is called by nats.go, in its
// goroutine for the publisher's subscription.
func (p *asyncPublisher) onAnswer(m *nats.Msg) {
	rest, _ := strings.CutPrefix(m.Subject, p.inbox+".")
	left, right, _ := strings.Cut(rest, ".")
	number, err := strconv.ParseUint(left, 36, 64)
	i, indexErr := strconv.Atoi(right)
	if err != nil || indexErr != nil || i < 0 {
		return
	}
	p.mu.Lock()
	b := p.batches[number]
	p.mu.Unlock()
	if b == nil {
		return // the answer is late: nobody waits for it any more
	}
	seq, err := readAck(m, b.stream(i))
	if err != nil {
		if foreign := (*foreignAnswer)(nil); errors.As(err, &foreign) {
			b.setHint(foreign)
			return
		}
		p.forgetStreams() // the topic may have another stream by now
	}
	b.resolve(i, seq, err)
}
