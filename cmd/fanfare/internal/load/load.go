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
	URL      string // a node's or a load balancer's
	System   string
	Sessions int           // each of a user of its own, bench-0 and so on
	Rate     int           // messages a second
	Duration time.Duration // for which messages are due
	Size     int           // least bytes of a message's data
	Everyone bool          // each message is for all sessions, else for one after the other
	Wait     time.Duration // for what is on its way when all is published
	// Token returns a session token for a user; nil at a node in development.
	Token func(user string) (string, error)
	// Publish posts messages, each a JSON object on a line of its own, and says
	// how many of them are on the bus for sure. What is not is published again,
	// with the same ids.
	Publish func(ctx context.Context, system string, lines []byte) (accepted int, err error)
}

// Validate says everything that is wrong.
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
		faults = append(faults, fmt.Errorf("duration: want more than 0 and at most %v", MaxDuration))
	}
	if c.Wait < 0 || c.Wait > MaxDuration {
		faults = append(faults, fmt.Errorf("wait: want 0s to %v", MaxDuration))
	}
	if c.Size < 0 || c.Size > MaxSize {
		faults = append(faults, fmt.Errorf("size: want 0 to %d", MaxSize))
	}
	if len(faults) == 0 && c.messages()*c.audience() > MaxDeliveries {
		faults = append(faults, fmt.Errorf("that are more than %d deliveries: want fewer clients, a lower rate or less time", MaxDeliveries))
	}
	return errors.Join(faults...)
}

// messages is how many are due.
func (c Config) messages() int { return int(float64(c.Rate) * c.Duration.Seconds()) }

// audience is for how many sessions a message is.
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
	began     time.Time // messages are due from then on
	listeners []*listener
	arrived   atomic.Int64
	latency   histogram
}

// Run connects the sessions, publishes, waits for what is on its way, and
// reports. When ctx ends it reports what has been until then. An error means that
// a session was not let in or was sent away for good, or that publishing was
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

// connect returns when all sessions have been greeted. A session that ends for
// good ends the others.
func (r *run) connect(ctx, listening context.Context, sessions *sync.WaitGroup, end context.CancelCauseFunc) error {
	places := make(chan struct{}, dialing)
	for i := range r.cfg.Sessions {
		l, err := r.listener(i)
		if err != nil {
			return err
		}
		r.listeners = append(r.listeners, l)
	}
	for _, l := range r.listeners {
		select {
		case places <- struct{}{}:
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
			<-places
		})
	}
	for _, l := range r.listeners {
		select {
		case <-l.greeted:
		case <-ctx.Done():
			return ctx.Err()
		case <-listening.Done():
			return context.Cause(listening)
		}
	}
	return nil
}

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

// A published load is how far publishing has come.
type published struct {
	accepted int           // messages on the bus
	took     time.Duration // until the last of them was
	retries  int
}

// mostLines is how many messages are posted at a time.
const mostLines = 500

// publish posts each message when it is due, or as soon as it can behind that.
// It gives up when Wait has passed since the last one was due.
func (r *run) publish(ctx, listening context.Context) (p published, err error) {
	ctx, cancel := context.WithDeadline(ctx, r.began.Add(r.cfg.Duration+r.cfg.Wait))
	defer cancel()
	defer context.AfterFunc(listening, cancel)()
	total := r.cfg.messages()
	var lines []byte
	for p.accepted < total {
		due := int(time.Since(r.began).Seconds() * float64(r.cfg.Rate))
		if due = min(due, total, p.accepted+mostLines); due <= p.accepted {
			if !sleep(ctx, time.Until(r.began.Add(r.due(p.accepted+1)))) {
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
			sleep(ctx, 100*time.Millisecond)
		}
	}
	return p, nil
}

// ErrFinal marks an error of Publish that trying again does not mend.
var ErrFinal = errors.New("refused")

// due is when message n is, since the load began.
func (r *run) due(n int) time.Duration {
	return time.Duration(float64(n) / float64(r.cfg.Rate) * float64(time.Second))
}

// line appends message n.
func (r *run) line(dst []byte, n int) []byte {
	p := payload{Run: r.id, N: n, Due: int64(r.due(n))}
	data, _ := json.Marshal(p) // it has nothing that could fail
	if pad := r.cfg.Size - len(data) - len(`,"pad":""`); pad > 0 {
		p.Pad = strings.Repeat("x", pad)
		data, _ = json.Marshal(p)
	}
	to := "*"
	if !r.cfg.Everyone {
		to = fmt.Sprint("user:bench-", n%r.cfg.Sessions)
	}
	return fmt.Appendf(dst, `{"id":"%s-%d","to":"%s","type":"bench","data":%s}`+"\n", r.id, n, to, data)
}

// await waits for what was published, as long as Wait allows.
func (r *run) await(ctx, listening context.Context, messages int) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Wait)
	defer cancel()
	defer context.AfterFunc(listening, cancel)()
	want := int64(messages * r.cfg.audience())
	for r.arrived.Load() < want && sleep(ctx, 5*time.Millisecond) {
	}
}

// sleep pauses, and says whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
