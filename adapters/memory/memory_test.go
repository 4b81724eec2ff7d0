package memory_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const topic = "fanfare.orders"

func TestEntryIsWhatWasPublished(t *testing.T) {
	bus := memory.New(memory.Config{})
	feed := follow(t, bus, "")
	m := message.NewMessage("id", []byte("body"))
	m.Metadata = message.Metadata{"b": "2", "a": "1", transport.RawKey: "1"}
	before := time.Now()
	publish(t, bus, m)

	got := read(t, feed)
	if at := got[0].Time; at.Before(before) || at.After(time.Now()) {
		t.Errorf("time %v", at)
	}
	got[0].Time = time.Time{}
	want := []domain.Entry{{
		Kind:     domain.Record,
		Position: position(1),
		UUID:     "id",
		Header:   []domain.Field{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}},
		Body:     []byte("body"),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFollowBeginsAtTheTail(t *testing.T) {
	bus := memory.New(memory.Config{})
	if begin := follow(t, bus, "").Begin(); begin != position(0) {
		t.Errorf("an empty topic's tail is %x", begin)
	}
	publish(t, bus, numbered(3)...)
	feed := follow(t, bus, "")
	if feed.Begin() != position(3) {
		t.Errorf("the tail is %x", feed.Begin())
	}
	publish(t, bus, message.NewMessage("new", nil))
	if got := read(t, feed); len(got) != 1 || got[0].UUID != "new" {
		t.Errorf("read %v", got)
	}
}

func TestFollowRefusesWhatItCannotContinue(t *testing.T) {
	bus := memory.New(memory.Config{Messages: 3})
	publish(t, bus, numbered(5)...) // 3, 4 and 5 are kept
	for _, tc := range []struct {
		after domain.Position
		want  domain.GapReason // "" means that it goes on
	}{
		{position(0), domain.Trimmed},
		{position(1), domain.Trimmed},
		{position(2), ""},
		{position(5), ""},
		{position(6), domain.UnknownCursor},
		{position(1<<64 - 1), domain.UnknownCursor},
		{"1700000000000-0", domain.UnknownCursor},
		{"x", domain.UnknownCursor},
	} {
		feed, err := bus.Follow(t.Context(), topic, tc.after)
		var lost *transport.GapError
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("after %x: %v", tc.after, err)
		case tc.want != "" && (!errors.As(err, &lost) || lost.Reason != tc.want || feed != nil):
			t.Errorf("after %x: %v %v, want %s", tc.after, feed, err, tc.want)
		}
	}
}

func TestOvertakenFollowerIsTold(t *testing.T) {
	bus := memory.New(memory.Config{Messages: 10})
	feed := follow(t, bus, "")
	publish(t, bus, numbered(11)...)
	_, err := feed.Read(t.Context())
	var lost *transport.GapError
	if !errors.As(err, &lost) || lost.Reason != domain.Trimmed {
		t.Errorf("got %v", err)
	}
}

func TestBytesAreBounded(t *testing.T) {
	bus := memory.New(memory.Config{Bytes: 4096})
	for range 100 {
		publish(t, bus, message.NewMessage("", make([]byte, 1000)))
	}
	got := read(t, follow(t, bus, position(97)))
	if len(got) != 3 {
		t.Errorf("%d are kept", len(got))
	}
	if _, err := bus.Follow(t.Context(), topic, position(96)); err == nil {
		t.Error("more is kept than there is room for")
	}
}

func TestBytesAloneBoundHowManyAreKept(t *testing.T) {
	bus := memory.New(memory.Config{})
	many := numbered(1000)
	for range 200 {
		publish(t, bus, many...)
	}
	feed := follow(t, bus, position(0))
	if err := feed.Close(); err != nil {
		t.Error(err)
	}
	if at, err := bus.Tail(t.Context(), topic); at != position(200_000) || err != nil {
		t.Errorf("the tail is %x, %v", at, err)
	}
}

func TestLogThatWasLongIsInOrderWhenItIsShort(t *testing.T) {
	bus := memory.New(memory.Config{})
	all := numbered(20_000)
	for i := range 20 {
		publish(t, bus, all[1000*i:1000*(i+1)]...)
	}
	var want []string
	for _, m := range all[19_990:] {
		want = append(want, m.UUID)
	}
	bus.Forget(topic, 10)
	for _, id := range []string{"a", "b", "c"} {
		publish(t, bus, message.NewMessage(id, nil))
		want = append(want, id)
	}
	if got := uuids(read(t, follow(t, bus, position(19_990)))); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if _, err := bus.Follow(t.Context(), topic, position(19_989)); err == nil {
		t.Error("what was forgotten can be followed")
	}
}

func TestMessageThatNeverFitsIsRefused(t *testing.T) {
	bus := memory.New(memory.Config{Bytes: 4096})
	errs := bus.Publish(t.Context(), outgoing(
		message.NewMessage("a", nil), message.NewMessage("b", make([]byte, 5000)), message.NewMessage("c", nil)))
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], domain.ErrTooLarge) || errs[2] != nil {
		t.Fatalf("got %v", errs)
	}
	if got := uuids(read(t, follow(t, bus, position(0)))); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("kept %v", got)
	}
}

func TestOldEntriesAreDropped(t *testing.T) {
	for name, touch := range map[string]func(*memory.Bus){
		"by Trim":    func(b *memory.Bus) { b.Trim(t.Context(), topic) },
		"by Follow":  func(*memory.Bus) {},
		"by Publish": func(b *memory.Bus) { publish(t, b, message.NewMessage("", nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := memory.New(memory.Config{Retention: time.Minute})
				publish(t, bus, numbered(2)...)
				time.Sleep(40 * time.Second)
				publish(t, bus, numbered(2)...)
				time.Sleep(40 * time.Second)
				touch(bus)
				if _, err := bus.Follow(t.Context(), topic, position(2)); err != nil {
					t.Errorf("what is young enough has gone: %v", err)
				}
				if _, err := bus.Follow(t.Context(), topic, position(1)); err == nil {
					t.Error("what is too old is still there")
				}
			})
		})
	}
}

func TestReadWaitsAndEndsPromptly(t *testing.T) {
	for name, end := range map[string]func(*memory.Bus, transport.Feed, context.CancelFunc){
		"with its context": func(_ *memory.Bus, _ transport.Feed, cancel context.CancelFunc) { cancel() },
		"with its feed":    func(_ *memory.Bus, f transport.Feed, _ context.CancelFunc) { f.Close(); f.Close() },
		"with the bus":     func(b *memory.Bus, _ transport.Feed, _ context.CancelFunc) { b.Close(); b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := memory.New(memory.Config{})
				feed := follow(t, bus, "")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var err error
				over := false
				go func() { _, err = feed.Read(ctx); over = true }()
				synctest.Wait()
				if over {
					t.Fatal("Read did not wait")
				}
				end(bus, feed, cancel)
				synctest.Wait()
				if !over || err == nil {
					t.Errorf("Read goes on, or ended without an error: %v", err)
				}
			})
		})
	}
}

func TestClosingOneDriverLeavesTheOthers(t *testing.T) {
	bus := memory.New(memory.Config{})
	one, other := bus.Driver(), bus.Driver()
	feed, err := other.Follow(t.Context(), topic, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if errs := other.Publish(t.Context(), outgoing(message.NewMessage("still here", nil))); errs != nil {
		t.Fatal(errs)
	}
	if got := uuids(read(t, feed)); !slices.Equal(got, []string{"still here"}) {
		t.Errorf("read %v", got)
	}
	_, err = one.Follow(t.Context(), topic, "")
	errs := one.Publish(t.Context(), outgoing(numbered(2)...))
	if !errors.Is(err, domain.ErrClosed) || len(errs) != 2 || !errors.Is(errs[1], domain.ErrClosed) || !errors.Is(one.Ping(t.Context()), domain.ErrClosed) {
		t.Errorf("the closed driver says %v, %v", err, errs)
	}
}

func TestClosedBusRefuses(t *testing.T) {
	bus := memory.New(memory.Config{})
	driver := bus.Driver()
	bus.Close()
	_, err := driver.Follow(t.Context(), topic, "")
	errs := driver.Publish(t.Context(), outgoing(numbered(1)...))
	if !errors.Is(err, domain.ErrClosed) || !errors.Is(errs[0], domain.ErrClosed) || !errors.Is(driver.Ping(t.Context()), domain.ErrClosed) {
		t.Errorf("got %v, %v", err, errs)
	}
}

func TestEachLogHasItsOwnID(t *testing.T) {
	bus := memory.New(memory.Config{})
	other := memory.New(memory.Config{})
	a, again := follow(t, bus, ""), follow(t, bus, "")
	b := follow(t, other, "")
	if a.Log() == 0 || a.Log() != again.Log() || a.Log() == b.Log() {
		t.Errorf("logs %x %x %x", a.Log(), again.Log(), b.Log())
	}
}

func TestTopicsAreBounded(t *testing.T) {
	bus := memory.New(memory.Config{})
	for i := range 10_000 {
		if errs := bus.Publish(t.Context(), []transport.Outgoing{{Topic: fmt.Sprint(i), Message: message.NewMessage("", nil)}}); errs != nil {
			t.Fatal(errs)
		}
	}
	if errs := bus.Publish(t.Context(), outgoing(numbered(1)...)); len(errs) != 1 || !errors.Is(errs[0], domain.ErrLimit) {
		t.Errorf("publish: %v", errs)
	}
	if _, err := bus.Follow(t.Context(), topic, ""); !errors.Is(err, domain.ErrLimit) {
		t.Errorf("follow: %v", err)
	}
}

func TestCheckTopic(t *testing.T) {
	bus := memory.New(memory.Config{})
	for _, bad := range []string{"", strings.Repeat("x", 256), "a\nb", "\xff"} {
		if err := bus.CheckTopic(bad); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := bus.CheckTopic(topic); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	openers := transport.Openers{"memory": memory.Open}
	for _, good := range []string{"memory://", "memory://dev", "memory:///", "memory://?retention=5m&messages=10&bytes=4096"} {
		bus, err := openers.Open(t.Context(), good, transport.Config{})
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, tc := range []struct{ url, want string }{
		{"memory://?retension=5m", `unknown parameter "retension": use bytes, messages, retention`},
		{"memory://?retention=soon", "retention=soon: want a duration of at least 1ms, such as 1h0m0s"},
		{"memory://?messages=0", "messages=0: want a whole number of at least 1"},
		{"memory://host:1234/db", "want memory:// or memory://name"},
		{"memory://#part", "behind #"},
		{"memory:opaque", "the URL cannot be read"},
	} {
		if _, err := openers.Open(t.Context(), tc.url, transport.Config{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.url, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("memory://")
	f.Add("memory://x?retention=1h&messages=5&bytes=9999999999")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return // no URL: not for Open to judge
		}
		d, err := memory.Open(t.Context(), u, nil)
		if (d == nil) == (err == nil) {
			t.Errorf("%v and %v", d, err)
		}
	})
}

func FuzzFollow(f *testing.F) {
	f.Add("12345678")
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x02")
	bus := memory.New(memory.Config{})
	if errs := bus.Publish(context.Background(), outgoing(numbered(5)...)); errs != nil {
		f.Fatal(errs)
	}
	f.Fuzz(func(t *testing.T, after string) {
		feed, err := bus.Follow(t.Context(), topic, domain.Position(after))
		if err != nil {
			return
		}
		if after != "" && feed.Begin() != domain.Position(after) {
			t.Errorf("asked for %x, begins at %x", after, feed.Begin())
		}
	})
}

func follow(t *testing.T, d transport.Driver, after domain.Position) transport.Feed {
	t.Helper()
	feed, err := d.Follow(t.Context(), topic, after)
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

func read(t *testing.T, feed transport.Feed) []domain.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	entries, err := feed.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func publish(t *testing.T, d transport.Driver, messages ...*message.Message) {
	t.Helper()
	if errs := d.Publish(t.Context(), outgoing(messages...)); errs != nil {
		t.Fatal(errs)
	}
}

func outgoing(messages ...*message.Message) []transport.Outgoing {
	records := make([]transport.Outgoing, len(messages))
	for i, m := range messages {
		records[i] = transport.Outgoing{Topic: topic, Message: m}
	}
	return records
}

// numbered returns n messages with the UUIDs 0, 1, 2…
func numbered(n int) []*message.Message {
	messages := make([]*message.Message, n)
	for i := range messages {
		messages[i] = message.NewMessage(fmt.Sprint(i), []byte("payload"))
	}
	return messages
}

func uuids(entries []domain.Entry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.UUID
	}
	return ids
}

func position(seq uint64) domain.Position {
	return domain.Position([]byte{byte(seq >> 56), byte(seq >> 48), byte(seq >> 40), byte(seq >> 32),
		byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq)})
}
