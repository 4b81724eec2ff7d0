package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
	"github.com/fanfarebus/fanfare/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A broker takes commits of numbers. Each Send waits until the gate lets it
// through, or until its context ends.
type broker struct {
	gate chan struct{}
	fail func(record int) error // may be nil

	mu      sync.Mutex
	commits [][]int
}

func (b *broker) send(ctx context.Context, records []int) []error {
	select {
	case <-b.gate:
	case <-ctx.Done():
		return slices.Repeat([]error{ctx.Err()}, len(records))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commits = append(b.commits, slices.Clone(records))
	if b.fail == nil {
		return nil
	}
	errs := make([]error, len(records))
	for i, r := range records {
		errs[i] = b.fail(r)
	}
	return errs
}

// run gives test a Pipeline over a broker, in a bubble whose clock is not real.
func run(t *testing.T, test func(t *testing.T, b *broker, cfg groupcommit.Config[int])) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{gate: make(chan struct{})}
		test(t, b, groupcommit.Config[int]{Send: b.send, MaxQueue: 10})
	})
}

// publish starts a call and waits until it is in the queue or with the broker.
func publish(
	ctx context.Context, p *groupcommit.Pipeline[int], timeout time.Duration, records ...int,
) <-chan groupcommit.Outcome {
	out := make(chan groupcommit.Outcome, 1)
	go func() { out <- p.Publish(ctx, time.Now().Add(timeout), records) }()
	synctest.Wait()
	return out
}

func want(t *testing.T, what string, got, want groupcommit.Outcome) {
	t.Helper()
	if got.Accepted != want.Accepted || got.Refused != want.Refused || !errors.Is(got.Err, want.Err) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestCallsThatComeMeanwhileShareTheNextCommit(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		p := groupcommit.New(cfg)
		calls := []<-chan groupcommit.Outcome{
			publish(t.Context(), p, time.Second, 1),
			publish(t.Context(), p, time.Second, 2, 3),
			publish(t.Context(), p, time.Second, 4),
		}
		close(b.gate)
		for i, accepted := range []int{1, 2, 1} {
			want(t, fmt.Sprint("call ", i), <-calls[i], groupcommit.Outcome{Accepted: accepted})
		}
		if diff := cmp.Diff([][]int{{1}, {2, 3, 4}}, b.commits); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallLearnsWhatBecameOfItsOwnRecords(t *testing.T) {
	lost := errors.New("lost")
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		b.fail = func(r int) error {
			switch {
			case r < 10:
				return nil
			case r < 20:
				return domain.ErrBusRefused
			}
			return lost
		}
		explained := errors.New("explained")
		cfg.Explain = func(err error) error { return fmt.Errorf("%w: %w", explained, err) }
		p := groupcommit.New(cfg)
		taken := publish(t.Context(), p, time.Second, 1)
		some := publish(t.Context(), p, time.Second, 2, 11, 3)
		refused := publish(t.Context(), p, time.Second, 4, 12, 13)
		unknown := publish(t.Context(), p, time.Second, 21)
		close(b.gate)
		want(t, "taken", <-taken, groupcommit.Outcome{Accepted: 1})
		want(t, "one in the middle is refused", <-some, groupcommit.Outcome{Accepted: 1, Err: domain.ErrBusRefused})
		want(t, "the rest is refused", <-refused,
			groupcommit.Outcome{Accepted: 1, Refused: true, Err: domain.ErrBusRefused})
		out := <-unknown
		want(t, "unknown", out, groupcommit.Outcome{Err: lost})
		want(t, "unknown", out, groupcommit.Outcome{Err: explained})
	})
}

func TestACallThatLeavesTheQueueSendsNothing(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		p := groupcommit.New(cfg)
		first := publish(t.Context(), p, time.Second, 1)
		ctx, cancel := context.WithCancel(t.Context())
		canceled := publish(ctx, p, time.Second, 2)
		late := publish(t.Context(), p, 10*time.Millisecond, 3)
		cancel()
		time.Sleep(20 * time.Millisecond)
		close(b.gate)
		want(t, "canceled", <-canceled, groupcommit.Outcome{Refused: true, Err: context.Canceled})
		want(t, "late", <-late, groupcommit.Outcome{Refused: true, Err: domain.ErrBusDown})
		want(t, "first", <-first, groupcommit.Outcome{Accepted: 1})
		if diff := cmp.Diff([][]int{{1}}, b.commits); diff != "" {
			t.Error(diff)
		}
	})
}

func TestASilentBrokerCostsNoMoreThanTheDeadline(t *testing.T) {
	run(t, func(t *testing.T, _ *broker, cfg groupcommit.Config[int]) {
		p := groupcommit.New(cfg)
		start := time.Now()
		leads := publish(t.Context(), p, time.Second, 1)
		follows := publish(t.Context(), p, time.Second, 2)
		want(t, "leads", <-leads, groupcommit.Outcome{Err: context.DeadlineExceeded})
		if out := <-follows; out.Err == nil || time.Since(start) > time.Second {
			t.Errorf("after %v: %+v", time.Since(start), out)
		}
	})
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		p := groupcommit.New(cfg)
		first := publish(t.Context(), p, time.Second, 0)
		waits := publish(t.Context(), p, time.Second, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		full := publish(t.Context(), p, time.Second, 10, 11)
		want(t, "full", <-full, groupcommit.Outcome{Refused: true, Err: domain.ErrLimit})
		fits := publish(t.Context(), p, time.Second, 10)
		close(b.gate)
		for _, out := range []<-chan groupcommit.Outcome{first, waits, fits} {
			if out := <-out; out.Err != nil {
				t.Error(out.Err)
			}
		}
	})
}

func TestALongCallGoesInParts(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		close(b.gate)
		p := groupcommit.New(cfg)
		want(t, "25 records", p.Publish(t.Context(), time.Now().Add(time.Second), make([]int, 25)),
			groupcommit.Outcome{Accepted: 25})
		if diff := cmp.Diff([][]int{make([]int, 10), make([]int, 10), make([]int, 5)}, b.commits); diff != "" {
			t.Error(diff)
		}
		want(t, "none", p.Publish(t.Context(), time.Now(), nil), groupcommit.Outcome{})
	})
}

func TestOnlyCallsThatWaitAreCopiedAndAllArePrepared(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		cfg.Copy = func(records []int) {
			for i := range records {
				records[i] += 100
			}
		}
		cfg.Prepare = func(records []int) {
			for i := range records {
				records[i] += 1000
			}
		}
		p := groupcommit.New(cfg)
		first, second := publish(t.Context(), p, time.Second, 1), publish(t.Context(), p, time.Second, 2)
		close(b.gate)
		<-first
		<-second
		if diff := cmp.Diff([][]int{{1001}, {1102}}, b.commits); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnswersForOtherRecordsCountForNone(t *testing.T) {
	p := groupcommit.New(groupcommit.Config[int]{
		Send: func(context.Context, []int) []error { return []error{nil} }, MaxQueue: 10,
	})
	out := p.Publish(t.Context(), time.Now().Add(time.Second), []int{1, 2})
	if out.Accepted != 0 || out.Refused || out.Err == nil {
		t.Errorf("got %+v", out)
	}
}

func TestCloseWaitsForCallsUnderWayAndRefusesNewOnes(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		p := groupcommit.New(cfg)
		first, second := publish(t.Context(), p, time.Second, 1), publish(t.Context(), p, time.Second, 2)
		closed := make(chan struct{})
		go func() { p.Close(); close(closed) }()
		synctest.Wait()
		want(t, "too late", <-publish(t.Context(), p, time.Second, 3),
			groupcommit.Outcome{Refused: true, Err: domain.ErrClosed})
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(b.gate)
		<-closed
		want(t, "first", <-first, groupcommit.Outcome{Accepted: 1})
		want(t, "second", <-second, groupcommit.Outcome{Accepted: 1})
	})
}

func ExamplePipeline() {
	p := groupcommit.New(groupcommit.Config[string]{
		Send: func(_ context.Context, records []string) []error {
			fmt.Println("sent:", records)
			return []error{nil, domain.ErrTooLarge}
		},
		MaxQueue: 1000,
	})
	defer p.Close()
	out := p.Publish(context.Background(), time.Now().Add(time.Second), []string{"a", "b"})
	fmt.Println("accepted:", out.Accepted)
	fmt.Println("certain that the rest was not taken:", out.Refused)
	fmt.Println(out.Err)
	// Output:
	// sent: [a b]
	// accepted: 1
	// certain that the rest was not taken: true
	// too large
}

// What Send notes in the records comes back to who has published them, also to those
// whose records were sent with others', or in parts.
func TestEachCallGetsItsRecordsBack(t *testing.T) {
	run(t, func(t *testing.T, b *broker, cfg groupcommit.Config[int]) {
		cfg.Send = func(ctx context.Context, records []int) []error {
			errs := b.send(ctx, records)
			for i := range records {
				records[i] *= 10
			}
			return errs
		}
		p := groupcommit.New(cfg)
		calls := [][]int{{1}, {2, 3}, {4}, {5, 6, 7}}
		var outcomes []<-chan groupcommit.Outcome
		for _, records := range calls {
			outcomes = append(outcomes, publish(t.Context(), p, time.Second, records...))
		}
		close(b.gate)
		for i, out := range outcomes {
			want(t, "all", <-out, groupcommit.Outcome{Accepted: len(calls[i])})
		}
		if diff := cmp.Diff([][]int{{10}, {20, 30}, {40}, {50, 60, 70}}, calls); diff != "" {
			t.Error(diff)
		}
		long := make([]int, 25)
		for i := range long {
			long[i] = i
		}
		want(t, "25 records", p.Publish(t.Context(), time.Now().Add(time.Second), long),
			groupcommit.Outcome{Accepted: 25})
		for i, got := range long {
			if got != 10*i {
				t.Errorf("record %d came back as %d", i, got)
			}
		}
	})
}
