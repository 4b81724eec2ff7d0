package transport_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A trimmer counts how often each topic was trimmed.
type trimmer struct {
	mu    sync.Mutex
	calls map[string]int
	fail  error
}

func (r *trimmer) trim(_ context.Context, topic string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = make(map[string]int)
	}
	r.calls[topic]++
	return r.fail
}

// count says how often a topic was trimmed so far.
func (r *trimmer) count(topic string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[topic]
}

func (r *trimmer) driver() *fakeDriver {
	return &fakeDriver{
		guarantees: logged,
		trim:       r.trim,
		publish:    func(context.Context, []transport.Outgoing) []error { return nil },
		follow: func(context.Context, string, domain.Position) (transport.Feed, error) {
			return feed(1, position(0)), nil
		},
	}
}

// A retainer was told how long to keep what it carries.
type retainer struct {
	*fakeDriver
	asked bool
}

func (r retainer) RetentionAsked() bool { return r.asked }

// after lets time pass and says how often the topic was trimmed meanwhile.
func (r *trimmer) after(d time.Duration, topic string) int {
	before := r.count(topic)
	time.Sleep(d)
	synctest.Wait()
	return r.count(topic) - before
}

// A topic that nobody follows is trimmed as well, by those who publish to it: at once,
// and then now and then.
func TestATopicThatIsPublishedToIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &trimmer{}
		bus := transport.New(r.driver(), transport.Config{TrimEvery: time.Minute})
		defer mustClose(t, bus)
		if err := bus.Publish(topic, msgs(3)...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := r.count(topic); n != 1 { // not r.after: it may have been trimmed already
			t.Errorf("%d trims at once", n)
		}
		if n := r.after(time.Hour, topic); n < 60 || n > 120 {
			t.Errorf("%d trims in an hour", n)
		}
		ctx, stop := context.WithCancel(t.Context())
		if _, err := bus.Subscribe(ctx, topic); err != nil {
			t.Fatal(err)
		}
		if n := r.after(time.Hour, topic); n < 60 || n > 120 {
			t.Errorf("published to and followed: %d trims in an hour", n)
		}
		stop()
		if n := r.after(time.Hour, topic); n < 60 || n > 120 {
			t.Errorf("no longer followed: %d trims in an hour", n)
		}
	})
}

// Names that never come again do not add up: the topics that were published to
// longest ago are forgotten. Those that are followed never are.
func TestTheTopicsThatArePublishedToAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &trimmer{}
		bus := transport.New(r.driver(), transport.Config{TrimEvery: time.Minute, TrimTopics: 10})
		defer mustClose(t, bus)
		if _, err := bus.Subscribe(t.Context(), "followed"); err != nil {
			t.Fatal(err)
		}
		name := func(i int) string { return fmt.Sprintf("topic %d", i) }
		for i := range 100 {
			for _, topic := range []string{"followed", "kept", name(i)} {
				if err := bus.Publish(topic, msg("1")); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for i := range 100 {
			if n := r.count(name(i)); n != 1 {
				t.Errorf("%s was trimmed %d times at once", name(i), n)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		trimmed := 0
		for i := range 100 {
			if r.count(name(i)) > 1 {
				trimmed++
			}
		}
		if trimmed != 9 || r.count(name(99)) < 2 || r.count("kept") < 60 || r.count("followed") < 60 {
			t.Errorf("%d topics are trimmed, the newest %d times, kept %d, followed %d",
				trimmed, r.count(name(99)), r.count("kept"), r.count("followed"))
		}
	})
}

// A process that publishes and ends trims before it ends; but Close does not
// wait long for it.
func TestAProcessThatPublishesAndEndsTrims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &trimmer{}
		bus := transport.New(r.driver(), transport.Config{})
		if err := bus.Publish(topic, msg("1")); err != nil {
			t.Fatal(err)
		}
		mustClose(t, bus)
		if n := r.count(topic); n != 1 {
			t.Errorf("%d trims", n)
		}

		stuck := r.driver()
		stuck.trim = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		bus = transport.New(stuck, transport.Config{})
		for i := range 5 {
			if err := bus.Publish(fmt.Sprint(i), msg("1")); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		mustClose(t, bus)
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

// The default retention may be shorter than what the nodes were told to keep.
func TestWhoOnlyPublishesTrimsOnlyToARetentionThatWasAskedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		driver  func(*fakeDriver) transport.Driver
		publish bool // only
		want    int
	}{
		{"a node", func(d *fakeDriver) transport.Driver { return retainer{d, false} }, false, 1},
		{"a publisher that was told", func(d *fakeDriver) transport.Driver { return retainer{d, true} }, true, 1},
		{"a publisher that was not", func(d *fakeDriver) transport.Driver { return retainer{d, false} }, true, 0},
		{"a publisher that cannot say", func(d *fakeDriver) transport.Driver { return d }, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &trimmer{}
				bus := transport.New(c.driver(r.driver()), transport.Config{PublishOnly: c.publish})
				defer mustClose(t, bus)
				if err := bus.Publish(topic, msg("1")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if n := r.count(topic); n != c.want {
					t.Errorf("%d trims, want %d", n, c.want)
				}
			})
		})
	}
}

// Who may not trim is told so once a minute, with the count of what was left
// out, however many topics there are.
func TestTrimsThatFailAreLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		r := &trimmer{fail: errNet}
		bus := transport.New(r.driver(), transport.Config{
			TrimEvery: 10 * time.Second, Logger: slog.New(slog.NewTextHandler(&lines, nil)),
		})
		for i := range 20 {
			if err := bus.Publish(fmt.Sprint(i), msg("1")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Minute + time.Second)
		mustClose(t, bus)
		n := strings.Count(lines.String(), "trimming failed")
		if n < 10 || n > 12 || !strings.Contains(lines.String(), "left_out=") || !strings.Contains(lines.String(), errNet.Error()) {
			t.Errorf("%d lines: %.2000s", n, lines.String())
		}
	})
}
