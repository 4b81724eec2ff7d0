package transport_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A wire is a driver's Publish that notes what it was given. Each call waits
// for a token if gate is set, or for its context's end.
type wire struct {
	gate chan struct{}
	fail func(commit int, records []transport.Outgoing) []error

	mu      sync.Mutex
	commits [][]string // "uuid=payload" and the metadata k
}

func (w *wire) driver() *fakeDriver { return &fakeDriver{publish: w.publish} }

func (w *wire) publish(ctx context.Context, records []transport.Outgoing) []error {
	if w.gate != nil {
		select {
		case <-w.gate:
		case <-ctx.Done():
			return slices.Repeat([]error{ctx.Err()}, len(records))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var commit []string
	for _, r := range records {
		commit = append(commit, r.Message.UUID+"="+string(r.Message.Payload)+r.Message.Metadata["k"])
	}
	w.commits = append(w.commits, commit)
	if w.fail != nil {
		return w.fail(len(w.commits), records)
	}
	return nil
}

func (w *wire) sent() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.commits)
}

func msg(id string) *message.Message { return message.NewMessage(id, []byte("p"+id)) }

func msgs(n int) []*message.Message {
	all := make([]*message.Message, n)
	for i := range all {
		all[i] = msg(fmt.Sprint(i))
	}
	return all
}

// publishes starts a publish of its own goroutine and waits until it is in the queue.
func publishes(bus *transport.Transport, ctx context.Context, messages ...*message.Message) <-chan error {
	result := make(chan error, 1)
	go func() { result <- bus.PublishContext(ctx, topic, messages...) }()
	synctest.Wait()
	return result
}

// fails says what is wrong with err as a PublishError.
func fails(err error, accepted int, refused bool, why error) string {
	var p *domain.PublishError
	switch {
	case !errors.As(err, &p):
		return fmt.Sprintf("no PublishError: %v", err)
	case p.Accepted != accepted || p.Refused != refused || !errors.Is(err, why):
		return fmt.Sprintf("accepted %d, refused %v, %v; want %d, %v, %v", p.Accepted, p.Refused, p.Err, accepted, refused, why)
	}
	return ""
}

func TestConcurrentPublishesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{})
		defer mustClose(t, bus)
		results := []<-chan error{publishes(bus, t.Context(), msg("a"))}
		for _, id := range []string{"b", "c", "d"} {
			results = append(results, publishes(bus, t.Context(), msg(id), msg(id+id)))
		}
		w.gate <- struct{}{}
		synctest.Wait()
		if len(results[0]) != 1 {
			t.Error("who led the first commit serves the second as well")
		}
		w.gate <- struct{}{}
		answered := time.Now()
		for _, r := range results {
			if err := <-r; err != nil {
				t.Error(err)
			}
		}
		if late := time.Since(answered); late > 0 {
			t.Errorf("callers learn what became of their messages %v late", late)
		}
		want := [][]string{{"a=pa"}, {"b=pb", "bb=pbb", "c=pc", "cc=pcc", "d=pd", "dd=pdd"}}
		if diff := cmp.Diff(want, w.sent()); diff != "" {
			t.Error(diff)
		}
		if n := bus.Stats().Published; n != 7 {
			t.Errorf("%d counted", n)
		}
	})
}

func TestEachCallHasItsOwnResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		w.fail = func(_ int, records []transport.Outgoing) []error {
			errs := make([]error, len(records))
			for i, r := range records {
				if strings.HasPrefix(r.Message.UUID, "bad") {
					errs[i] = errNet
				}
			}
			return errs
		}
		bus := transport.New(w.driver(), transport.Config{})
		defer mustClose(t, bus)
		first := publishes(bus, t.Context(), msg("a"))
		good := publishes(bus, t.Context(), msg("b"))
		bad := publishes(bus, t.Context(), msg("c"), msg("bad"), msg("d"))
		better := publishes(bus, t.Context(), msg("e"))
		close(w.gate)
		if err := errors.Join(<-first, <-good, <-better); err != nil {
			t.Error(err)
		}
		err := <-bad
		if wrong := fails(err, 1, false, domain.ErrBusDown); wrong != "" || !errors.Is(err, errNet) {
			t.Error(wrong, err)
		}
		if s := bus.Stats(); s.Published != 4 || s.PublishErrors != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestDriverSaysWhatItIs(t *testing.T) {
	w := &wire{fail: func(int, []transport.Outgoing) []error { return []error{domain.ErrTooLarge} }}
	bus := transport.New(w.driver(), transport.Config{})
	defer mustClose(t, bus)
	err := bus.Publish(topic, msg("a"))
	if wrong := fails(err, 0, true, domain.ErrTooLarge); wrong != "" || errors.Is(err, domain.ErrBusDown) {
		t.Error(wrong, err)
	}
}

func TestErrorsThatDoNotMatchTheRecordsFailThemAll(t *testing.T) {
	w := &wire{fail: func(int, []transport.Outgoing) []error { return []error{errNet} }}
	bus := transport.New(w.driver(), transport.Config{})
	defer mustClose(t, bus)
	if wrong := fails(bus.Publish(topic, msgs(3)...), 0, false, errNet); wrong != "" {
		t.Error(wrong)
	}
}

func TestLongPublishGoesInParts(t *testing.T) {
	for name, tc := range map[string]struct {
		failAt   int // the commit that fails, at its third message
		accepted int
		commits  []int
	}{
		"all taken":  {0, 1300, []int{512, 512, 276}},
		"part taken": {2, 514, []int{512, 512}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &wire{}
			w.fail = func(commit int, records []transport.Outgoing) []error {
				if commit != tc.failAt {
					return nil
				}
				errs := make([]error, len(records))
				errs[2] = errNet
				return errs
			}
			bus := transport.New(w.driver(), transport.Config{})
			defer mustClose(t, bus)
			err := bus.Publish(topic, msgs(1300)...)
			if tc.accepted == 1300 && err != nil {
				t.Error(err)
			}
			if tc.accepted < 1300 {
				if wrong := fails(err, tc.accepted, false, domain.ErrBusDown); wrong != "" {
					t.Error(wrong)
				}
			}
			var sizes []int
			next := 0
			for _, commit := range w.sent() {
				sizes = append(sizes, len(commit))
				for _, got := range commit {
					if want := fmt.Sprintf("%d=p%d", next, next); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					next++
				}
			}
			if diff := cmp.Diff(tc.commits, sizes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{})
		defer mustClose(t, bus)
		results := []<-chan error{publishes(bus, t.Context(), msg("first"))}
		for range 4 {
			results = append(results, publishes(bus, t.Context(), msgs(200)...))
		}
		close(w.gate)
		for _, r := range results {
			if err := <-r; err != nil {
				t.Error(err)
			}
		}
		for _, commit := range w.sent() {
			if len(commit) > 512 {
				t.Errorf("a commit of %d messages", len(commit))
			}
		}
	})
}

func TestWhoLeavesTheQueueSendsNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		after time.Duration
		want  error
		down  bool
	}{
		"cancelled":        {context.WithCancel, 0, context.Canceled, false},
		"past its context": {within(time.Second), time.Second, context.DeadlineExceeded, true},
		"past its time":    {within(time.Hour), 3 * time.Second, domain.ErrBusDown, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{gate: make(chan struct{})}
				bus := transport.New(w.driver(), transport.Config{PublishTimeout: 3 * time.Second})
				defer mustClose(t, bus)
				first := publishes(bus, t.Context(), msg("a"))
				start := time.Now()
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				leaver := publishes(bus, ctx, msg("b"), msg("c"))
				stayer := make(<-chan error)
				if tc.after == 0 {
					stayer = publishes(bus, t.Context(), msg("d"))
					cancel()
				}
				err := <-leaver
				if wrong := fails(err, 0, true, tc.want); wrong != "" {
					t.Error(wrong)
				}
				if errors.Is(err, domain.ErrBusDown) != tc.down {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("took %v", took)
				}
				want := [][]string(nil)
				if tc.after < 3*time.Second {
					w.gate <- struct{}{}
					want = append(want, []string{"a=pa"})
				}
				<-first
				if tc.after == 0 {
					w.gate <- struct{}{}
					want = append(want, []string{"d=pd"})
					if err := <-stayer; err != nil {
						t.Error(err)
					}
				}
				if diff := cmp.Diff(want, w.sent()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func within(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
}

func TestContextThatHasEndedSendsNothing(t *testing.T) {
	w := &wire{}
	bus := transport.New(w.driver(), transport.Config{})
	defer mustClose(t, bus)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if wrong := fails(bus.PublishContext(ctx, topic, msg("a")), 0, true, context.Canceled); wrong != "" {
		t.Error(wrong)
	}
	if len(w.sent()) != 0 {
		t.Error("it was sent")
	}
}

// A caller that leaves while its messages are on the wire may reuse them at once: the
// driver has a copy. The race detector watches, too.
func TestWhoLeavesTheWireLeavesACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{})
		defer mustClose(t, bus)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := publishes(bus, t.Context(), msg("a"))
		m := msg("b")
		m.Metadata.Set("k", "v")
		leaver := publishes(bus, ctx, m)
		leader := publishes(bus, t.Context(), msg("c")) // the newest leads
		w.gate <- struct{}{}
		synctest.Wait()
		if err := <-first; err != nil {
			t.Error(err)
		}
		cancel()
		if wrong := fails(<-leaver, 0, false, context.Canceled); wrong != "" {
			t.Error(wrong)
		}
		m.UUID, m.Payload[0] = "X", 'X'
		m.Metadata.Set("k", "X")
		w.gate <- struct{}{}
		if err := <-leader; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([][]string{{"a=pa"}, {"b=pbv", "c=pc"}}, w.sent()); diff != "" {
			t.Error(diff)
		}
	})
}

// A leader's own context is not the others'.
func TestLeaderStaysForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{})
		defer mustClose(t, bus)
		ctx, cancel := context.WithCancel(t.Context())
		first := publishes(bus, ctx, msg("a"))
		cancel()
		w.gate <- struct{}{}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// However many publish while the broker is silent, nobody waits longer than
// the timeout, the leader of a later commit neither.
func TestSilentBrokerCostsEachCallerTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New((&wire{gate: make(chan struct{})}).driver(), transport.Config{})
		defer mustClose(t, bus)
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				start := time.Now()
				err := bus.Publish(topic, msg(fmt.Sprint(i)))
				if took := time.Since(start); took > 800*time.Millisecond {
					t.Errorf("caller %d waited %v", i, took)
				}
				if !errors.Is(err, domain.ErrBusDown) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		callers.Wait()
	})
}

func TestFullQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{PublishQueue: 10})
		defer mustClose(t, bus)
		first := publishes(bus, t.Context(), msg("a"))
		waits := publishes(bus, t.Context(), msgs(9)...)
		if wrong := fails(bus.Publish(topic, msgs(2)...), 0, true, domain.ErrLimit); wrong != "" {
			t.Error(wrong)
		}
		fits := publishes(bus, t.Context(), msg("z"))
		if wrong := fails(bus.Publish(topic, msg("y")), 0, true, domain.ErrLimit); wrong != "" {
			t.Error(wrong)
		}
		close(w.gate)
		if err := errors.Join(<-first, <-waits, <-fits); err != nil {
			t.Error(err)
		}
		if err := bus.Publish(topic, msgs(100)...); err != nil {
			t.Errorf("more than the queue holds, in parts: %v", err)
		}
	})
}

func TestWhoLeavesTheQueueMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		bus := transport.New(w.driver(), transport.Config{PublishQueue: 10})
		defer mustClose(t, bus)
		first := publishes(bus, t.Context(), msg("a"))
		ctx, cancel := context.WithCancel(t.Context())
		leaver := publishes(bus, ctx, msgs(10)...)
		cancel()
		<-leaver
		stayer := publishes(bus, t.Context(), msgs(10)...)
		close(w.gate)
		if err := errors.Join(<-first, <-stayer); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeSentIsRefused(t *testing.T) {
	w := &wire{}
	bus := transport.New(w.driver(), transport.Config{})
	defer mustClose(t, bus)
	err := bus.Publish("", msg("a"))
	if wrong := fails(err, 0, true, domain.ErrInvalid); wrong != "" || !errors.Is(err, errEmpty) {
		t.Error(wrong, err)
	}
	if wrong := fails(bus.Publish(topic, msg("a"), nil), 0, true, domain.ErrInvalid); wrong != "" {
		t.Error(wrong)
	}
	if err := bus.Publish(topic); err != nil {
		t.Error(err)
	}
	if len(w.sent()) != 0 {
		t.Error("something was sent")
	}
}

func TestCloseWaitsForPublishesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		driver := w.driver()
		bus := transport.New(driver, transport.Config{})
		first := publishes(bus, t.Context(), msg("a"))
		second := publishes(bus, t.Context(), msg("b"))
		closed := make(chan struct{})
		go func() { mustClose(t, bus); close(closed) }()
		synctest.Wait()
		if wrong := fails(bus.Publish(topic, msg("c")), 0, true, domain.ErrClosed); wrong != "" {
			t.Error(wrong)
		}
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(w.gate)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		<-closed
		mustClose(t, bus)
		if driver.closed != 1 {
			t.Errorf("the driver was closed %d times", driver.closed)
		}
		if _, err := bus.Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrClosed) {
			t.Errorf("Subscribe: %v", err)
		}
	})
}

// Callers come, wait, lead and leave at random: what was acknowledged was sent
// once, what was refused never, and nobody hangs.
func TestPublishersThatComeAndGo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		times := make(map[string]int)
		driver := &fakeDriver{publish: func(ctx context.Context, records []transport.Outgoing) []error {
			mu.Lock()
			pause := time.Duration(len(times)%7) * time.Millisecond
			for _, r := range records {
				times[r.Message.UUID]++
			}
			mu.Unlock()
			time.Sleep(pause)
			return nil
		}}
		bus := transport.New(driver, transport.Config{PublishQueue: 40})
		var callers sync.WaitGroup
		for caller := range 60 {
			callers.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(caller)))
				for round := range 50 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(10))*time.Millisecond)
					id := fmt.Sprintf("%d-%d", caller, round)
					err := bus.PublishContext(ctx, fmt.Sprint(random.IntN(3)), msg(id))
					cancel()
					var p *domain.PublishError
					mu.Lock()
					n := times[id]
					mu.Unlock()
					switch {
					case err == nil && n != 1:
						t.Errorf("%s was acknowledged and sent %d times", id, n)
					case errors.As(err, &p) && p.Refused && n != 0:
						t.Errorf("%s was refused and sent %d times", id, n)
					case n > 1:
						t.Errorf("%s was sent %d times", id, n)
					}
				}
			})
		}
		callers.Wait()
		mustClose(t, bus)
		if s := bus.Stats(); s.Published == 0 || s.PublishErrors == 0 || s.Published+s.PublishErrors != 3000 {
			t.Errorf("counted %+v", s)
		}
	})
}

// A driver that answers for fewer records than it was given, or for more, has
// proven nothing.
func TestADriverThatAnswersForOtherRecordsHasTakenNone(t *testing.T) {
	for _, answer := range [][]error{{}, {nil}, {nil, nil, nil, nil}, {errNet}} {
		driver := &fakeDriver{publish: func(context.Context, []transport.Outgoing) []error { return answer }}
		bus := transport.New(driver, transport.Config{})
		if problem := fails(bus.Publish(topic, msgs(3)...), 0, false, domain.ErrBusDown); problem != "" {
			t.Errorf("%d answers: %s", len(answer), problem)
		}
		mustClose(t, bus)
	}
}

// What the broker has refused is known not to be on the bus; of what stands
// behind an error of another kind, that is not known.
func TestARefusalIsCertain(t *testing.T) {
	no := fmt.Errorf("%w: %w", domain.ErrBusDown, domain.ErrBusRefused)
	large, odd := fmt.Errorf("kafka: %w", domain.ErrTooLarge), fmt.Errorf("nats: %w", domain.ErrInvalid)
	for _, c := range []struct {
		answer   []error
		accepted int
		refused  bool
		why      error
	}{
		{[]error{no, no, no}, 0, true, domain.ErrBusDown},
		{[]error{nil, no, no}, 1, true, domain.ErrBusDown},
		{[]error{no, nil, no}, 0, false, domain.ErrBusDown},
		{[]error{no, errNet, no}, 0, false, domain.ErrBusDown},
		{[]error{errNet, no, no}, 0, false, domain.ErrBusDown},
		{[]error{nil, large, no}, 1, true, domain.ErrTooLarge},
		{[]error{large, nil, nil}, 0, false, domain.ErrTooLarge},
		{[]error{odd, odd, odd}, 0, true, domain.ErrInvalid},
	} {
		driver := &fakeDriver{publish: func(context.Context, []transport.Outgoing) []error { return c.answer }}
		bus := transport.New(driver, transport.Config{})
		if problem := fails(bus.Publish(topic, msgs(3)...), c.accepted, c.refused, c.why); problem != "" {
			t.Errorf("%v: %s", c.answer, problem)
		}
		mustClose(t, bus)
	}
}

// Who publishes learns where the log has the last message, with others' in the same commit
// or in parts.
func TestPublishStoredSaysWhereTheLastMessageIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{gate: make(chan struct{})}
		n := 0
		d := &fakeDriver{guarantees: logged, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			errs := w.publish(ctx, records)
			for i := range records {
				n++
				records[i].Stored = transport.Stored{At: domain.Location{Log: 7, Position: position(n)}, Time: second(n)}
			}
			return errs
		}}
		bus := transport.New(d, transport.Config{})
		defer mustClose(t, bus)
		type result struct {
			last transport.Stored
			err  error
		}
		var results []chan result
		for _, messages := range [][]*message.Message{msgs(1), msgs(3), msgs(1), msgs(1300)} {
			c := make(chan result, 1)
			results = append(results, c)
			go func() {
				last, err := bus.PublishStored(t.Context(), topic, messages...)
				c <- result{last, err}
			}()
			synctest.Wait()
		}
		close(w.gate)
		for i, want := range []int{1, 4, 5, 1305} {
			got := <-results[i]
			if got.err != nil || got.last.At != (domain.Location{Log: 7, Position: position(want)}) || !got.last.Time.Equal(second(want)) {
				t.Errorf("call %d: %+v, want position %d", i, got, want)
			}
		}
	})
}

func TestPublishStoredSaysNothingWithoutALogOrAfterAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		guarantees transport.Guarantees
		errs       []error
	}{
		"no log": {transport.Guarantees{TotalOrder: true}, nil},
		"failed": {logged, []error{nil, errNet}},
	} {
		d := &fakeDriver{guarantees: tt.guarantees, publish: func(_ context.Context, records []transport.Outgoing) []error {
			for i := range records {
				records[i].At = domain.Location{Log: 7, Position: position(1)}
			}
			return tt.errs
		}}
		bus := transport.New(d, transport.Config{})
		last, err := bus.PublishStored(t.Context(), topic, msgs(2)...)
		if last != (transport.Stored{}) || (err == nil) != (tt.errs == nil) {
			t.Errorf("%s: %+v, %v", name, last, err)
		}
		mustClose(t, bus)
	}
}
