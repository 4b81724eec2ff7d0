package transport

import (
	"context"
	"errors"
	"time"
)

const (
	pingEvery   = time.Second // how often Run asks the broker for a sign of life
	pingTimeout = time.Second // how long that may take
	// lagChecksPerPing is how often, from one ping to the next, Run compares the
	// subscriptions with the tails that it knows. That asks nothing of the broker.
	lagChecksPerPing = 4
)

// Run watches the broker (with a Ping every second, which has a timeout) and how
// far the subscriptions lag behind it (see [Transport.Deaf]), until ctx ends or
// the Transport is closed. It calls changed first to say how the bus is, and then
// whenever the bus goes up or down. The calls come one at a time, from Run's own
// goroutine. It returns nil.
func (t *Transport) Run(ctx context.Context, changed func(up bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.closing, cancel)()

	lag := newLagMonitor(t)
	defer t.lagging.Store(nil)
	defer t.lags.Store(nil)
	tick := time.NewTicker(pingEvery / lagChecksPerPing)
	defer tick.Stop()
	wasUp, told, timeouts := true, false, 0
	for check := 0; ; check++ {
		if check%lagChecksPerPing == 0 {
			err := t.ping(ctx)
			if ctx.Err() != nil {
				return nil
			}
			timeouts = timeoutsInRow(timeouts, err)
			up := err == nil
			if undecided := timeouts == 1 && wasUp; !undecided {
				t.down.Store(!up)
				if up != wasUp || !told {
					t.logUp(err)
					changed(up)
				}
				wasUp, told = up, true
			}
			lag.update(ctx, up)
		}
		topics := lag.lagging()
		t.lagging.Store(&topics)
		lags := lag.lags()
		t.lags.Store(&lags)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// timeoutsInRow counts consecutive pings that timed out; err is the newest
// answer, before how many came ahead of it. A single timeout does not mean that
// the bus is down: somebody may be busy, perhaps this machine. Another error
// does.
func timeoutsInRow(before int, err error) int {
	if errors.Is(err, context.DeadlineExceeded) {
		return before + 1
	}
	return 0
}

// Up reports whether the broker answered when Run last asked; true before that.
func (t *Transport) Up() bool { return !t.down.Load() }

func (t *Transport) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return t.driver.Ping(ctx)
}

// logUp logs how the bus is; err is why it is down, nil if it is up.
func (t *Transport) logUp(err error) {
	if err != nil {
		t.cfg.Logger.Warn("the bus is down", "error", err)
		return
	}
	t.cfg.Logger.Info("the bus is up")
}
