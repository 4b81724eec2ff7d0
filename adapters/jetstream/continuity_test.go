package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestFollowGoesOnExactlyAfterAPosition(t *testing.T) {
	k := newKit(t)
	want := k.add(1, 1000)
	for _, i := range []int{0, 1, 2, 256, 257, 999} {
		f := k.follow(at(uint64(i)))
		k.want(want[i:], k.bodies(f, 1000-i))
		if f.Begin() != at(uint64(i)) {
			t.Fatalf("begins at %x", f.Begin())
		}
	}
	f := k.follow(at(1000))
	k.want(k.add(1001, 1001), k.bodies(f, 1))
}

func TestAPositionWhoseFollowersWereTrimmedIsRefused(t *testing.T) {
	k := newKit(t)
	k.add(1, 10)
	k.trim(5)
	k.refused(at(3), domain.Trimmed)
	k.refused(at(0), domain.Trimmed)
	k.want(driverkit.Numbers(6, 10), k.bodies(k.follow(at(5)), 5))
	k.want(driverkit.Numbers(8, 10), k.bodies(k.follow(at(7)), 3))
}

func TestTheLastPositionIsGoodEvenWhenItsEntryIsGone(t *testing.T) {
	k := newKit(t)
	k.add(1, 10)
	k.trim(0)
	f := k.follow(at(10))
	k.want(k.add(11, 12), k.bodies(f, 2))
	k.refused(at(9), domain.Trimmed)
}

func TestAPositionOfAnotherStreamIsUnknownOrOfAnotherLog(t *testing.T) {
	k := newKit(t)
	k.add(1, 5)
	log := k.follow("").Log()
	k.remove()
	k.refused(at(5), domain.UnknownCursor) // gone, and made anew
	k.add(1, 2)
	k.refused(at(5), domain.UnknownCursor) // shorter
	k.refused("short", domain.UnknownCursor)
	k.refused(at(^uint64(0)), domain.UnknownCursor)
	k.add(3, 9)
	if f := k.follow(at(5)); f.Log() == log { // long enough: the caller compares
		t.Fatal("a stream that began anew is the same log")
	}
}

func TestARestartWithoutStorageIsABreakAndThenDeliveryGoesOn(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	k.add(1, 3)
	k.read(f, 3)
	k.Kill()
	if err := driverkit.ReadToEnd(k.t, f, 0); !errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("error %v", err)
	}
	k.Forget()
	k.Restart()
	k.refused(at(3), domain.UnknownCursor)
	f = k.follow("")
	k.want(k.add(5, 6), k.bodies(f, 2))
}

func TestARestartWithStorageIsNoBreak(t *testing.T) {
	k := newKit(t)
	k.add(1, 3)
	log := k.follow("").Log()
	k.Kill()
	k.Restart()
	f := k.follow(at(1))
	k.want(driverkit.Numbers(2, 3), k.bodies(f, 2))
	if f.Log() != log {
		t.Fatal("another log")
	}
}

// A machine that crashed may have lost what its server had confirmed last. What
// comes then has the same numbers.
func TestAStreamThatLostItsNewestMessagesIsABreakEvenWhenOthersHaveTheirPlaces(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	k.add(1, 3)
	k.read(f, 3)
	log := f.Log()
	k.Stop()
	saved := filepath.Join(t.TempDir(), "saved")
	stored := filepath.Join(k.Dir(), "jetstream")
	k.must(os.CopyFS(saved, os.DirFS(stored)))
	k.Restart()
	k.must(k.follow(at(3)).Close())
	f = k.follow(at(3))
	k.want(k.add(4, 5), k.bodies(f, 2))
	k.Kill()
	k.Forget()
	k.must(os.CopyFS(stored, os.DirFS(saved)))
	k.Restart()
	k.add(104, 107)
	k.refused(at(5), domain.UnknownCursor)
	g := k.follow(at(3))
	if g.Log() != log {
		t.Fatal("another log: that tests nothing")
	}
	k.want(driverkit.Numbers(104, 107), k.bodies(g, 4))
}

func TestASlowReaderOvertakenByTrimmingIsTold(t *testing.T) {
	k := newKit(t)
	k.add(1, 1000)
	f := k.follow(at(0))
	got := len(k.read(f, 256))
	k.trim(50) // up to 512 more may have been sent before
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, err := f.Read(ctx)
		if err != nil {
			driverkit.WantGap(t, err, domain.Trimmed)
			break
		}
		for _, e := range batch {
			if got++; string(e.Body) != fmt.Sprint(got) {
				t.Fatalf("%s after %d", e.Body, got-1)
			}
		}
	}
	if got > 800 {
		t.Errorf("%d were read, of which 950 are trimmed: more than two batches were on their way", got)
	}
}

func TestAReaderAheadOfTrimmingIsLeftAlone(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	for i := 1; i < 1000; i += 100 {
		k.want(k.add(i, i+99), k.bodies(f, 100))
		k.trim(10)
	}
	k.trim(0)
	k.want(k.add(1001, 1003), k.bodies(f, 3))
}

func TestDeletedMessagesAreNoBreak(t *testing.T) {
	k := newKit(t)
	k.add(1, 10)
	f := k.follow(at(0))
	k.read(f, 10)
	k.del(10)
	k.want(k.add(11, 12), k.bodies(f, 2))
	k.del(2, 5, 6)
	k.want([]string{"3", "4", "7", "8", "9", "11", "12"}, k.bodies(k.follow(at(1)), 7))
	k.want([]string{"7", "8", "9", "11", "12"}, k.bodies(k.follow(at(5)), 5))
}

// Nothing comes any more, and what a quiet reader had before it is gone.
func TestAPurgeOfWhatAReaderHadBeforeItIsTold(t *testing.T) {
	k := newKit(t)
	k.add(1, 2000)
	f := k.follow(at(0))
	k.read(f, 256)
	k.trim(0)
	err := k.endedSomewhere(f)
	driverkit.WantGap(t, err, domain.Trimmed)
}

// endedSomewhere is ended for a feed that may bring something before.
func (k kit) endedSomewhere(f transport.Feed) error {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, err := f.Read(ctx); err != nil {
			return err
		}
	}
}

func TestAStreamCreatedAnewUnderARunningReaderEndsItsFeedAndIsAnotherLog(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	k.want(k.add(1, 3), k.bodies(f, 3))
	k.remove()
	k.create(nil)
	k.add(1, 8)
	if err := driverkit.ReadToEnd(k.t, f, 0); err == nil {
		t.Fatal("the feed went on")
	}
	g := k.follow(at(3))
	if g.Log() == f.Log() {
		t.Fatal("the same log")
	}
}

// The whole of it: a subscription is told of a gap and then goes on.
func TestASubscriptionOutlivesAStreamThatIsDeleted(t *testing.T) {
	k := newKit(t)
	bus := transport.New(k.d, transport.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	h := listen(t, bus)
	k.add(1, 2)
	h.hears("1 2")
	k.remove()
	h.hears("1 2 gap:unknown_cursor")
	k.add(3, 4)
	h.hears("1 2 gap:unknown_cursor 3 4")
}

func TestAStreamOfManySubjectsIsReadWithoutFalseBreaks(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.Name, c.Subjects = "all", []string{"t", "other.>"} })
	f := k.follow("")
	other := func(n int) {
		t.Helper()
		for range n {
			k.must(errors.Join(k.d.Publish(t.Context(), driverkit.Outgoing("other.x", driverkit.Raw("not for us")))...))
		}
	}
	log := k.d.(transport.LogDriver)
	tail := func() uint64 {
		t.Helper()
		p, err := log.Tail(t.Context(), "t")
		k.must(err)
		return seqOf(p)
	}
	if got := tail(); got != 0 {
		t.Fatalf("tail %d of a topic without messages", got)
	}
	other(3)
	k.want(k.add(1, 2), k.bodies(f, 2))
	other(5)
	k.want(k.add(3, 4), k.bodies(f, 2))
	if got := tail(); got != 12 {
		t.Fatalf("tail %d", got)
	}
	// Our topic is quiet for long, and all that is older is trimmed, ours too: the
	// feed has seen that there was nothing more.
	other(1)
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond) // two heartbeats
	done := make(chan error)
	go func() {
		batch, err := f.Read(t.Context())
		if err == nil && (len(batch) != 1 || string(batch[0].Body) != "5") {
			err = fmt.Errorf("read %v", batch)
		}
		done <- err
	}()
	<-ctx.Done()
	cancel()
	s, err := k.js().Stream(t.Context(), "all")
	k.must(err)
	k.must(s.Purge(t.Context()))
	k.add(5, 5)
	k.must(<-done)
	// But for whoever comes with an old position there is no proof.
	k.refused(at(12), domain.Trimmed)
}

func TestStreamsThatLoseFromTheMiddleAreRefused(t *testing.T) {
	for name, change := range map[string]func(*stock.StreamConfig){
		"work queue":  func(c *stock.StreamConfig) { c.Retention = stock.WorkQueuePolicy },
		"interest":    func(c *stock.StreamConfig) { c.Retention = stock.InterestPolicy },
		"per subject": func(c *stock.StreamConfig) { c.Subjects = []string{"t", "u"}; c.MaxMsgsPerSubject = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.create(change)
			if _, err := k.d.Follow(t.Context(), "t", ""); err == nil {
				t.Fatal("followed")
			} else {
				t.Log(err)
			}
		})
	}
}

// A stream may keep as little as one message.
func TestAStreamThatKeepsOneMessageIsReadWithoutBreaks(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.MaxMsgs = 1 })
	f := k.follow("")
	for i := 1; i <= 50; i++ {
		k.want(k.add(i, i), k.bodies(f, 1))
	}
}

// Somebody adds and trims as he likes, and the reader is as slow as it likes:
// what it gets is either without a hole or behind a break.
func TestNothingIsSkippedSilently(t *testing.T) {
	k := newKit(t)
	k.create(nil)
	seed := rand.Uint64()
	t.Log("seed", seed)
	ctx, cancel := context.WithCancel(t.Context())
	var trims atomic.Int64
	done := make(chan error, 1)
	stream := k.stream()
	go func() {
		defer cancel()
		done <- k.churn(stream, rand.New(rand.NewPCG(seed, 1)), 200, &trims)
	}()
	r := rand.New(rand.NewPCG(seed, 2))
	f, last, breaks, read, batches := k.follow(""), 0, 0, 0, 0
	for ctx.Err() == nil {
		batch, err := f.Read(ctx)
		if errors.As(err, new(*transport.GapError)) {
			_ = f.Close()
			f, last, breaks = k.follow(""), 0, breaks+1
			continue
		}
		if ctx.Err() == nil {
			k.must(err)
		}
		for _, e := range batch {
			n, err := strconv.Atoi(string(e.Body))
			k.must(err)
			if last > 0 && n != last+1 {
				t.Fatalf("%d after %d, and no break", n, last)
			}
			last, read = n, read+1
		}
		if batches++; batches%20 == 0 { // and now and then very slow
			for till := trims.Load() + 3; trims.Load() < till && ctx.Err() == nil; {
				k.must(k.d.Ping(t.Context()))
			}
		}
		for range r.IntN(3) * r.IntN(2) { // a slow reader
			k.must(k.d.Ping(t.Context()))
		}
	}
	k.must(<-done)
	if read == 0 || breaks == 0 {
		t.Fatalf("%d entries read, %d breaks: that tests nothing", read, breaks)
	}
	t.Logf("%d entries read, %d breaks", read, breaks)
}

// churn adds entries with the numbers from 1 on, and trims now and then.
func (k kit) churn(stream stock.Stream, r *rand.Rand, rounds int, trims *atomic.Int64) error {
	for next := 1; rounds > 0; rounds-- {
		first := next
		next += 1 + r.IntN(400)
		var records []transport.Outgoing
		for _, body := range driverkit.Numbers(first, next-1) {
			records = append(records, driverkit.Outgoing("t", driverkit.Raw(body))...)
		}
		if err := errors.Join(k.d.Publish(k.t.Context(), records)...); err != nil {
			return err
		}
		if r.IntN(2) == 0 {
			if err := stream.Purge(k.t.Context(), stock.WithPurgeKeep(uint64(1+r.IntN(300)))); err != nil {
				return err
			}
			trims.Add(1)
		}
	}
	return nil
}
