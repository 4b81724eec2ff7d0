package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// Bounds of a load.
const (
	MaxSessions   = 10_000
	MaxRate       = 100_000 // messages a second
	MaxDuration   = time.Hour
	MaxSize       = 64 << 10
	MaxDeliveries = 100_000_000 // messages, times the sessions that each is for
)

// A Config says what the load is. All fields but Token, Everyone and Size are
// required.
type Config struct {
	URL      string        // of a node or a load balancer
	System   string        // to attach to and to publish to
	Sessions int           // each of a user of its own: bench-0, bench-1 …
	Rate     int           // messages a second
	Duration time.Duration // for which messages are due
	Size     int           // least bytes of a message's data
	Everyone bool          // each message is for all sessions, else for one after the other
	Wait     time.Duration // for messages that are still on their way when all are published

	// Token returns a session token for a user; nil at a node in development.
	Token func(user string) (string, error)
	// Publish posts messages, each a JSON object on a line of its own, and says
	// how many of them are certainly on the bus. The others are published again,
	// with the same ids.
	Publish func(ctx context.Context, system string, lines []byte) (accepted int, err error)
}

// Validate returns everything that is wrong as one error, nil if nothing is.
func (c Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		name      string
		value, of int
	}{{"clients", c.Sessions, MaxSessions}, {"rate", c.Rate, MaxRate}} {
		if f.value < 1 || f.value > f.of {
			faults = append(faults, fmt.Errorf("%s: want 1 to %d", f.name, f.of))
		}
	}
	if c.Duration <= 0 || c.Duration > MaxDuration {
		faults = append(faults,
			fmt.Errorf("duration: want more than 0 and at most %v", MaxDuration))
	}
	if c.Wait < 0 || c.Wait > MaxDuration {
		faults = append(faults, fmt.Errorf("wait: want 0s to %v", MaxDuration))
	}
	if c.Size < 0 || c.Size > MaxSize {
		faults = append(faults, fmt.Errorf("size: want 0 to %d", MaxSize))
	}
	if len(faults) == 0 && c.messages()*c.audience() > MaxDeliveries {
		faults = append(faults, fmt.Errorf("that are more than %d deliveries: "+
			"want fewer clients, a lower rate or less time", MaxDeliveries))
	}
	return errors.Join(faults...)
}

// messages is how many messages are due.
func (c Config) messages() int { return int(float64(c.Rate) * c.Duration.Seconds()) }

// audience is how many sessions a message is for.
func (c Config) audience() int {
	if c.Everyone {
		return c.Sessions
	}
	return 1
}

// A run is one load under way.
type run struct {
	cfg       Config
	id        string
	began     time.Time // when the first message is due; set before anything is published
	listeners []*listener
	arrived   atomic.Int64
	latency   histogram
}

// Run connects the sessions, publishes, waits for messages that are on their way,
// and reports. When ctx ends, it reports what has happened until then. An error
// means that a session was refused or closed for good, or that publishing was
// refused for good; then there is no report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	r := &run{cfg: cfg, id: fmt.Sprintf("%016x", rand.Uint64()), began: time.Now()}
	listening, end := context.WithCancelCause(context.WithoutCancel(ctx))
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer end(nil)
	if err := r.connect(ctx, listening, &sessions, end); err != nil {
		return Report{}, err
	}
	connected := time.Since(r.began)
	r.began = time.Now()
	p, err := r.publish(ctx, listening)
	if err == nil {
		r.await(ctx, listening, p.accepted)
		err = context.Cause(listening)
	}
	if err != nil {
		return Report{}, err
	}
	rep := r.report(p)
	rep.Connect = connected
	return rep, nil
}

// dialing is how many sessions connect at a time.
const dialing = 64

// connect starts all sessions, and returns when they have been greeted. They run
// until listening ends, and sessions waits for them. A session that is closed for
// good calls end, which ends the others.
func (r *run) connect(
	ctx, listening context.Context, sessions *sync.WaitGroup, end context.CancelCauseFunc,
) error {
	dials := make(chan struct{}, dialing)
	for i := range r.cfg.Sessions {
		l, err := r.listener(i)
		if err != nil {
			return err
		}
		r.listeners = append(r.listeners, l)
	}
	for _, l := range r.listeners {
		select {
		case dials <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-listening.Done():
			return context.Cause(listening)
		}
		sessions.Go(func() {
			if err := l.client.Run(listening); err != nil {
				end(err)
			}
		})
		sessions.Go(func() {
			select {
			case <-l.greeted:
			case <-listening.Done():
			}
			<-dials
		})
	}
	for _, l := range r.listeners {
		if err := l.awaitGreeting(ctx, listening); err != nil {
			return err
		}
	}
	return nil
}

// listener makes the session number i.
func (r *run) listener(i int) (*listener, error) {
	l := &listener{run: r, first: i, step: r.cfg.Sessions, last: -1, greeted: make(chan struct{})}
	if r.cfg.Everyone {
		l.first, l.step = 0, 1
	}
	user := fmt.Sprint("bench-", i)
	cc := client.Config{URL: r.cfg.URL, Systems: []string{r.cfg.System}, Handler: l.handler()}
	if r.cfg.Token != nil {
		cc.Token = func(context.Context) (string, error) { return r.cfg.Token(user) }
	} else {
		u, err := url.Parse(r.cfg.URL)
		if err != nil {
			return nil, err
		}
		q := u.Query()
		q.Set("user", user)
		u.RawQuery = q.Encode()
		cc.URL = u.String()
	}
	var err error
	l.client, err = client.New(cc)
	return l, err
}

// A published says how far publishing has come.
type published struct {
	accepted int           // messages that are on the bus
	took     time.Duration // until the last of these was on the bus
	retries  int
}

const (
	maxLines   = 500                    // messages in one request
	retryPause = 100 * time.Millisecond // after a request that failed
)

// publish posts each message when it is due, or as soon after that as it can. It
// gives up when Wait has passed since the last one was due.
func (r *run) publish(ctx, listening context.Context) (p published, err error) {
	ctx, cancel := context.WithDeadline(ctx, r.began.Add(r.cfg.Duration+r.cfg.Wait))
	defer cancel()
	defer context.AfterFunc(listening, cancel)()
	total := r.cfg.messages()
	var lines []byte
	for p.accepted < total {
		due := int(time.Since(r.began).Seconds() * float64(r.cfg.Rate))
		if due = min(due, total, p.accepted+maxLines); due <= p.accepted {
			if !pause.For(ctx, time.Until(r.began.Add(r.due(p.accepted+1)))) {
				break
			}
			continue
		}
		lines = lines[:0]
		for n := p.accepted; n < due; n++ {
			lines = r.line(lines, n)
		}
		n, err := r.cfg.Publish(ctx, r.cfg.System, lines)
		p.accepted += n
		p.took = time.Since(r.began)
		switch {
		case ctx.Err() != nil:
			return p, nil
		case errors.Is(err, ErrFinal):
			return p, err
		case err != nil:
			p.retries++
			pause.For(ctx, retryPause)
		}
	}
	return p, nil
}

// ErrFinal marks an error of [Config.Publish] after which it is no use to try
// again.
var ErrFinal = errors.New("refused")

// due is when message n is due, counted from when the load began.
func (r *run) due(n int) time.Duration {
	return time.Duration(float64(n) / float64(r.cfg.Rate) * float64(time.Second))
}

// line appends message n.
func (r *run) line(dst []byte, n int) []byte {
	p := payload{Run: r.id, N: n, Due: int64(r.due(n))}
	data, _ := json.Marshal(p) // no field of it can fail
	if pad := r.cfg.Size - len(data) - len(`,"pad":""`); pad > 0 {
		p.Pad = strings.Repeat("x", pad)
		data, _ = json.Marshal(p)
	}
	to := "*"
	if !r.cfg.Everyone {
		to = fmt.Sprint("user:bench-", n%r.cfg.Sessions)
	}
	const envelope = `{"id":"%s-%d","to":"%s","type":"bench","data":%s}` + "\n"
	return fmt.Appendf(dst, envelope, r.id, n, to, data)
}

// await waits until all messages that were published have arrived, at most for
// Wait.
func (r *run) await(ctx, listening context.Context, messages int) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Wait)
	defer cancel()
	defer context.AfterFunc(listening, cancel)()
	want := int64(messages * r.cfg.audience())
	for r.arrived.Load() < want && pause.For(ctx, 5*time.Millisecond) {
	}
}
