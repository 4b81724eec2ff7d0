package transport_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func TestContinuity(t *testing.T) {
	trimmed := &transport.GapError{Reason: domain.Trimmed, Detail: "gone"}
	lossy := transport.Guarantees{}
	for name, tc := range map[string]struct {
		driver *fakeDriver
		want   []string          // entries, in order
		asked  []domain.Position // what Follow was asked for
		gaps   map[domain.GapReason]uint64
		cuts   uint64
	}{
		"a subscription starts with its place": {
			driver: script(logged, feed(1, position(7), records(8, 9))),
			want:   []string{"start 7 of 1", "8", "9"},
			asked:  []domain.Position{""},
		},
		"an interruption with proof goes on without a gap": {
			driver: script(logged,
				feed(1, position(0), records(1, 2), errNet), errNet, errNet,
				feed(1, position(2), records(3, 4))),
			want:  []string{"start 0 of 1", "1", "2", "3", "4"},
			asked: []domain.Position{"", position(2), position(2), position(2)},
			cuts:  1,
		},
		"an interruption before the first record goes on from the start": {
			driver: script(logged, feed(1, position(5), errNet), feed(1, position(5), records(6, 6))),
			want:   []string{"start 5 of 1", "6"},
			asked:  []domain.Position{"", position(5)},
			cuts:   1,
		},
		"an interruption without proof is a gap before the new records": {
			driver: script(logged,
				feed(1, position(0), records(1, 2), errNet), trimmed,
				feed(1, position(9), records(10, 10))),
			want:  []string{"start 0 of 1", "1", "2", "gap trimmed 9 of 1", "10"},
			asked: []domain.Position{"", position(2), ""},
			gaps:  map[domain.GapReason]uint64{domain.Trimmed: 1},
			cuts:  1,
		},
		"a feed that lost its position is a gap": {
			driver: script(logged,
				feed(1, position(0), records(1, 1), trimmed),
				feed(1, position(9), records(10, 10))),
			want:  []string{"start 0 of 1", "1", "gap trimmed 9 of 1", "10"},
			asked: []domain.Position{"", ""},
			gaps:  map[domain.GapReason]uint64{domain.Trimmed: 1},
		},
		"a gap is not forgotten while the broker is away": {
			driver: script(logged,
				feed(1, position(0), records(1, 1), errNet), trimmed, errNet, errNet,
				feed(1, position(9), records(10, 10))),
			want:  []string{"start 0 of 1", "1", "gap trimmed 9 of 1", "10"},
			asked: []domain.Position{"", position(1), "", "", ""},
			gaps:  map[domain.GapReason]uint64{domain.Trimmed: 1},
			cuts:  1,
		},
		"another log is a gap, whatever the driver says": {
			driver: script(logged,
				feed(1, position(0), records(1, 1), errNet),
				feed(2, position(1), records(2, 2)),
				feed(2, position(3), records(4, 4))),
			want:  []string{"start 0 of 1", "1", "gap unknown_cursor 3 of 2", "4"},
			asked: []domain.Position{"", position(1), ""},
			gaps:  map[domain.GapReason]uint64{domain.UnknownCursor: 1},
			cuts:  1,
		},
		"after a gap it goes on from there": {
			driver: script(logged,
				feed(1, position(0), trimmed),
				feed(2, position(9), errNet),
				feed(2, position(9), records(10, 10))),
			want:  []string{"start 0 of 1", "gap trimmed 9 of 2", "10"},
			asked: []domain.Position{"", "", position(9)},
			gaps:  map[domain.GapReason]uint64{domain.Trimmed: 1},
			cuts:  1,
		},
		"without a log every interruption is a gap": {
			driver: script(lossy,
				feed(0, "", []domain.Entry{{UUID: "a"}}, errNet), errNet,
				feed(0, "", []domain.Entry{{UUID: "b"}}, errNet),
				feed(0, "", []domain.Entry{{UUID: "c"}})),
			want:  []string{"start - of 0", "-", "gap lossy - of 0", "-", "gap lossy - of 0", "-"},
			asked: []domain.Position{"", "", "", ""},
			gaps:  map[domain.GapReason]uint64{domain.Lossy: 2},
			cuts:  2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := transport.New(tc.driver, transport.Config{})
				defer mustClose(t, bus)
				batches, err := bus.Batches().Subscribe(t.Context(), topic)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, take(t, batches, len(tc.want))); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(tc.asked, tc.driver.asked()); diff != "" {
					t.Error("Follow was asked for", diff)
				}
				stats := bus.Stats()
				if diff := cmp.Diff(tc.gaps, stats.Gaps); diff != "" {
					t.Error(diff)
				}
				if stats.Interruptions != tc.cuts {
					t.Errorf("%d interruptions counted, want %d", stats.Interruptions, tc.cuts)
				}
			})
		})
	}
}

func TestReplacedFeedsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feeds := []*fakeFeed{
			feed(1, position(0), errNet), feed(2, position(0)), feed(2, position(0), records(1, 1)),
		}
		bus := transport.New(script(logged, feeds[0], feeds[1], feeds[2]), transport.Config{})
		batches, err := bus.Batches().Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		take(t, batches, 3)
		if !feeds[0].isClosed() || !feeds[1].isClosed() || feeds[2].isClosed() {
			t.Error("the feeds that were replaced are to be closed, and only they")
		}
		mustClose(t, bus)
		if !feeds[2].isClosed() {
			t.Error("the last feed outlives the bus")
		}
	})
}

func TestStartComesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(logged, feed(1, position(0), records(1, 3))), transport.Config{})
		defer mustClose(t, bus)
		batches, err := bus.Batches().Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		m := <-batches
		batch, _ := domain.EntriesFrom(m.Context())
		if diff := cmp.Diff([]string{"start 0 of 1"}, summary(batch)); diff != "" {
			t.Error(diff)
		}
		m.Ack()
	})
}

// A broker that stays away is asked again and again, but not in a spin, and
// neither is one that accepts every subscription and drops it at once.
func TestRetriesArePaced(t *testing.T) {
	dropping := func() *fakeDriver {
		return &fakeDriver{guarantees: logged, follow: func(context.Context, string, domain.Position) (transport.Feed, error) {
			return feed(1, position(0), errNet), nil
		}}
	}
	breaking := func() *fakeDriver {
		return &fakeDriver{guarantees: logged, follow: func(context.Context, string, domain.Position) (transport.Feed, error) {
			return feed(1, position(0), &transport.GapError{Reason: domain.Trimmed}), nil
		}}
	}
	for name, driver := range map[string]func() *fakeDriver{
		"away":     func() *fakeDriver { return script(logged, feed(1, position(0), errNet)) },
		"dropping": dropping,
		"breaking": breaking,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				driver := driver()
				bus := transport.New(driver, transport.Config{RetryMin: 100 * time.Millisecond, RetryMax: time.Second})
				defer mustClose(t, bus)
				batches, err := bus.Batches().Subscribe(t.Context(), topic)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for m := range batches {
						m.Ack()
					}
				}()
				time.Sleep(time.Minute)
				if n := len(driver.asked()); n < 60 || n > 130 {
					t.Errorf("%d attempts in a minute", n)
				}
			})
		})
	}
}

// What brought something is asked again as soon as at first, however long the
// broker was away before.
func TestPausesStartAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(logged,
			feed(1, position(0), errNet), errNet, errNet, errNet, errNet, errNet,
			feed(1, position(0), records(1, 1), errNet),
			feed(1, position(1), records(2, 2))), transport.Config{RetryMin: time.Second, RetryMax: time.Hour})
		defer mustClose(t, bus)
		batches, err := bus.Batches().Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		take(t, batches, 2)
		start := time.Now()
		take(t, batches, 1)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSubscribeFails(t *testing.T) {
	never := &fakeDriver{follow: func(ctx context.Context, _ string, _ domain.Position) (transport.Feed, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	soon := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Second)
	}
	plain := func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }
	for name, tc := range map[string]struct {
		driver *fakeDriver
		ctx    func() (context.Context, context.CancelFunc)
		topic  string
		want   error
		after  time.Duration
	}{
		"when the broker cannot be reached":    {script(logged, errNet), plain, topic, domain.ErrBusDown, 0},
		"when the broker does not confirm":     {never, plain, topic, domain.ErrBusDown, 3 * time.Second},
		"when the caller does not wait longer": {never, soon, topic, context.DeadlineExceeded, time.Second},
		"when the driver refuses":              {script(logged, domain.ErrForbidden), plain, topic, domain.ErrForbidden, 0},
		"when the topic is none":               {never, plain, "", domain.ErrInvalid, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tc.ctx()
				defer cancel()
				bus := transport.New(tc.driver, transport.Config{FollowTimeout: 3 * time.Second})
				defer mustClose(t, bus)
				start := time.Now()
				messages, err := bus.Subscribe(ctx, tc.topic)
				if messages != nil || !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("took %v", took)
				}
				if (tc.want == domain.ErrForbidden || tc.want == domain.ErrInvalid) && errors.Is(err, domain.ErrBusDown) {
					t.Errorf("a refusal is not an outage: %v", err)
				}
			})
		})
	}
}

func TestCloseEndsASubscribeThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(&fakeDriver{follow: func(ctx context.Context, _ string, _ domain.Position) (transport.Feed, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, transport.Config{})
		result := make(chan error)
		go func() {
			_, err := bus.Subscribe(context.Background(), topic)
			result <- err
		}()
		synctest.Wait()
		go mustClose(t, bus)
		if err := <-result; !errors.Is(err, domain.ErrClosed) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
	})
}

// Who subscribes gives up when the Transport is closed. A driver whose connection
// ends at that moment may say that as well, but then it is worth another try.
func TestADriverThatSaysClosedIsDownWhileTheTransportIsOpen(t *testing.T) {
	bus := transport.New(script(transport.Guarantees{}, fmt.Errorf("read: %w", domain.ErrClosed)), transport.Config{})
	defer mustClose(t, bus)
	_, err := bus.Subscribe(t.Context(), topic)
	if !errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// The channel closes at once, whatever the subscription is busy with.
func TestEndOfASubscription(t *testing.T) {
	busy := map[string]func(<-chan *message.Message){
		"while nobody reads": func(<-chan *message.Message) {},
		"while nobody acks":  func(in <-chan *message.Message) { <-in },
		"while it waits":     func(in <-chan *message.Message) { (<-in).Ack(); (<-in).Ack(); (<-in).Ack() },
		"after a nack":       func(in <-chan *message.Message) { (<-in).Nack() },
		"in a back-off": func(in <-chan *message.Message) {
			for range 4 {
				(<-in).Ack()
			}
		},
	}
	for what, occupy := range busy {
		for how, viaClose := range map[string]bool{"cancelled": false, "closed": true} {
			t.Run(how+" "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := feed(1, position(0), records(1, 3))
					if what == "in a back-off" {
						f = feed(1, position(0), records(1, 4), errNet)
					}
					bus := transport.New(script(logged, f), transport.Config{RetryMin: time.Hour})
					defer mustClose(t, bus)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					in, err := bus.Subscribe(ctx, topic)
					if err != nil {
						t.Fatal(err)
					}
					occupy(in)
					synctest.Wait()
					start := time.Now()
					if viaClose {
						mustClose(t, bus)
					} else {
						cancel()
					}
					if _, open := <-in; open {
						t.Error("another message came")
					}
					synctest.Wait()
					if took := time.Since(start); took != 0 {
						t.Errorf("took %v", took)
					}
					if !f.isClosed() {
						t.Error("the feed is still open")
					}
				})
			})
		}
	}
}

// While the subscriber works on a large batch, the next one is read, so that the
// pipe is full, and no more than that one. A small batch is worked on first.
func TestReaderIsOneBatchAheadOfALargeOne(t *testing.T) {
	for size, reads := range map[int]int{1: 1, 31: 1, 32: 2, 256: 2} {
		synctest.Test(t, func(t *testing.T) {
			f := feed(1, position(0), records(1, size), records(501, 502), records(503, 504), records(505, 505))
			bus := transport.New(script(logged, f), transport.Config{})
			defer mustClose(t, bus)
			in, err := bus.Batches().Subscribe(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			take(t, in, 1)
			m := <-in // the first batch is being worked on
			synctest.Wait()
			if n := f.read(); n != reads {
				t.Errorf("%d entries: %d reads, want %d", size, n, reads)
			}
			m.Nack()
			m = <-in
			if batch, _ := domain.EntriesFrom(m.Context()); len(batch) != size {
				t.Errorf("after a nack of %d entries come %d", size, len(batch))
			}
			m.Ack()
			for at := 501; at <= 505; {
				m := <-in
				batch, _ := domain.EntriesFrom(m.Context())
				for _, e := range batch {
					if e.Position != position(at) {
						t.Fatalf("%x came where %d was expected", e.Position, at)
					}
					at++
				}
				m.Ack()
			}
		})
	}
}

func TestNackedMessageComesAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		batch := []domain.Entry{
			{Position: position(1), UUID: "a", Header: []domain.Field{{Name: "k", Value: "v"}}, Body: []byte("body")},
			{Position: position(2), UUID: "b"},
		}
		bus := transport.New(script(logged, feed(1, position(0), batch)), transport.Config{})
		defer mustClose(t, bus)
		type key struct{}
		in, err := bus.Subscribe(context.WithValue(t.Context(), key{}, "value"), topic)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			m := <-in
			if m.UUID != "a" || string(m.Payload) != "body" || len(m.Metadata) != 1 || m.Metadata["k"] != "v" {
				t.Errorf("got %q %q %v", m.UUID, m.Payload, m.Metadata)
			}
			if m.Context().Value(key{}) != "value" || m.Context().Err() != nil {
				t.Error("the context is not the subscription's")
			}
			m.Payload[0] = 'X'
			m.Metadata.Set("other", "X")
			m.Nack()
			<-m.Context().Done()
		}
		(<-in).Ack()
		if m := <-in; m.UUID != "b" {
			t.Errorf("then came %q", m.UUID)
		}
		if n := bus.Stats().Redelivered; n != 3 {
			t.Errorf("%d redeliveries counted", n)
		}
	})
}

func TestNackedBatchComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(logged, feed(1, position(0), records(1, 2), records(3, 3))), transport.Config{})
		defer mustClose(t, bus)
		in, err := bus.Batches().Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		take(t, in, 1)
		(<-in).Nack()
		if diff := cmp.Diff([]string{"1", "2", "3"}, take(t, in, 3)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNackLoopIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(logged, feed(1, position(0), records(1, 1))), transport.Config{})
		in, err := bus.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		deliveries := 0
		time.AfterFunc(10*time.Second, func() { mustClose(t, bus) })
		for m := range in {
			deliveries++
			m.Nack()
		}
		if deliveries < 100 || deliveries > 1000 {
			t.Errorf("%d deliveries in ten seconds", deliveries)
		}
	})
}

func TestForeignMessageGetsAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(logged, feed(1, position(0), []domain.Entry{{Position: position(1)}, {}})), transport.Config{})
		defer mustClose(t, bus)
		in, err := bus.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		m := <-in
		if m.UUID != "00000001" {
			t.Errorf("with a position: %q", m.UUID)
		}
		m.Ack()
		m = <-in
		random := m.UUID
		if len(random) != len(domain.NewID()) {
			t.Errorf("without: %q", random)
		}
		m.Nack()
		if m = <-in; m.UUID != random {
			t.Errorf("and again: %q", m.UUID)
		}
	})
}

func TestGapsAreInvisibleOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(script(transport.Guarantees{},
			feed(0, "", []domain.Entry{{UUID: "a"}}, errNet),
			feed(0, "", []domain.Entry{{UUID: "b"}})), transport.Config{})
		defer mustClose(t, bus)
		in, err := bus.Subscribe(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 2 {
			m := <-in
			got = append(got, m.UUID)
			m.Ack()
		}
		if !slices.Equal(got, []string{"a", "b"}) || bus.Stats().Gaps[domain.Lossy] != 1 {
			t.Errorf("got %v and %v", got, bus.Stats().Gaps)
		}
	})
}
