package load

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// A publisher publishes a share of the load's messages, with one request under way at
// a time. For unicast it alone has certain users; for fan-out it numbers its messages
// itself. So it knows in which order they arrive.
type publisher struct {
	run     *run
	index   int
	out     Outlet
	turn    int // how many messages it has made
	batch   []Message
	stamps  []stamp
	text    []byte // of the batch
	retries int
}

// retryPause is how long a publisher waits when a request failed.
const retryPause = 50 * time.Millisecond

// closedLoop publishes a batch whenever so many messages have arrived, until stop
// ends.
func (p *publisher) closedLoop(ctx, stop context.Context) error {
	for {
		select {
		case <-stop.Done():
			return nil
		case <-p.run.slots:
		}
		now := p.run.since()
		p.begin()
		for range p.run.cfg.Batch {
			p.add(p.target(), now)
		}
		if err := p.publish(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// paced publishes each message when it is due, or as soon after that as it can, until
// stop ends. Message k of the load is that of publisher k modulo their number.
func (p *publisher) paced(ctx, stop context.Context, from, until int64) error {
	every, all := int64(time.Second), int64(p.run.publishers)
	due := func(k int64) int64 { return from + (k*all+int64(p.index))*every/int64(p.run.cfg.Rate) }
	for k := int64(0); due(k) < until; {
		sleepUntil(p.run.began.Add(time.Duration(due(k))))
		if stop.Err() != nil {
			return nil
		}
		now := p.run.since()
		p.begin()
		for n := 0; n < p.run.cfg.Batch && due(k) < until && (n == 0 || due(k) <= now); n++ {
			p.add(p.target(), due(k))
			k++
		}
		if err := p.publish(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// missed publishes each user's messages of a resume.
func (p *publisher) missed(ctx context.Context, each int) error {
	for left := each * p.users(); left > 0 && ctx.Err() == nil; {
		p.begin()
		n := min(left, p.run.cfg.Batch)
		for range n {
			p.add(p.target(), p.run.since())
		}
		left -= n
		if err := p.publish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// users is how many users this publisher has.
func (p *publisher) users() int {
	r := p.run
	return (r.cfg.Clients + r.cfg.Absent - p.index + r.publishers - 1) / r.publishers
}

// target returns the stamp.to of the next message.
func (p *publisher) target() uint32 {
	turn := p.turn
	p.turn++
	if p.run.cfg.Scenario == FanOut {
		// Publishers begin with different systems.
		return p.run.to(p.index, (p.index+turn)%p.run.cfg.Systems)
	}
	return uint32(p.index + turn%p.users()*p.run.publishers)
}

// begin begins a batch.
func (p *publisher) begin() { p.stamps = p.stamps[:0] }

// add adds a message to the batch, and numbers it.
func (p *publisher) add(to uint32, due int64) {
	p.stamps = append(p.stamps, stamp{to: to, n: p.run.numbered[to], due: due})
	p.run.numbered[to]++
}

// publish publishes the batch, and again what of it was not accepted, until all is or
// ctx ends. It returns only errors after which it is no use to go on.
func (p *publisher) publish(ctx context.Context) error {
	p.encode()
	system := p.run.cfg.systemOf(p.run.systemFor(p.stamps[0].to))
	for stamps := p.stamps; ; {
		n, err := p.out.Publish(ctx, system, p.batch)
		p.run.accepted(stamps[:n])
		if stamps, p.batch = stamps[n:], p.batch[n:]; len(stamps) == 0 {
			return nil
		}
		if errors.Is(err, ErrFinal) {
			return err
		}
		p.retries++
		if !pause.For(ctx, retryPause) {
			return nil
		}
	}
}

// encode makes the batch of its stamps.
func (p *publisher) encode() {
	f := &p.run.format
	p.batch, p.text = p.batch[:0], p.text[:0]
	part := func(write func(b []byte) []byte) []byte {
		at := len(p.text)
		p.text = write(p.text)
		return p.text[at:len(p.text):len(p.text)] // stays good when text grows elsewhere
	}
	for _, s := range p.stamps {
		p.batch = append(p.batch, Message{
			ID: part(func(b []byte) []byte {
				b = append(append(b, f.id...), '-')
				b = strconv.AppendUint(b, uint64(s.to), 36)
				return strconv.AppendUint(append(b, '-'), uint64(s.n), 36)
			}),
			To: part(func(b []byte) []byte {
				if p.run.cfg.Scenario == FanOut {
					return append(b, '*')
				}
				return strconv.AppendUint(append(b, "user:bench-"...), uint64(s.to), 10)
			}),
			Data: part(func(b []byte) []byte { return f.appendData(b, s) }),
		})
	}
}
