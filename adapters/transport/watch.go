package transport

import (
	"context"
	"errors"
	"time"
)

const (
	pingEvery   = time.Second // how often Run asks the broker for a sign of life
	pingTimeout = time.Second // how long that may take
	looks       = 4           // how often Run looks at the subscriptions meanwhile, which costs nothing
)

// Run watches the broker (Ping every second, with a timeout) and how far the
// subscriptions are behind it (see Deaf), until ctx ends or the Transport is
// closed. It calls changed whenever the bus goes up or down; the first call says
// how it is. The calls come one at a time, from Run's own goroutine. It returns
// nil.
func (t *Transport) Run(ctx context.Context, changed func(up bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ending, cancel)()

	subs := newLagMonitor(t)
	defer t.behind.Store(nil)
	tick := time.NewTicker(pingEvery / looks)
	defer tick.Stop()
	was, told, late := true, false, 0
	for round := 0; ; round++ {
		if round%looks == 0 {
			err := t.ping(ctx)
			if ctx.Err() != nil {
				return nil
			}
			late = lateness(late, err)
			up := err == nil
			if undecided := late == 1 && was; !undecided {
				t.down.Store(!up)
				if up != was || !told {
					t.tell(err)
					changed(up)
				}
				was, told = up, true
			}
			subs.ask(ctx, up)
		}
		behind := subs.behind()
		t.behind.Store(&behind)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// lateness counts answers in a row that did not come in time. One alone says
// that somebody is busy, perhaps this machine; a refusal says that the bus is
// down.
func lateness(before int, err error) int {
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

func (t *Transport) tell(err error) {
	if err != nil {
		t.cfg.Logger.Warn("the bus is down", "error", err)
		return
	}
	t.cfg.Logger.Info("the bus is up")
}
