package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A mutation makes a driver faulty, which one case of the suite must catch with
// these words.
type mutation struct {
	name   string
	caught string // by this case
	saying string
	make   func(d *wireDriver) transport.Driver
}

// each makes a mutation of what a feed returns, entry by entry.
func each(change func(e *domain.Entry)) func(d *wireDriver) transport.Driver {
	return func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			for i := range batch {
				change(&batch[i])
			}
			return batch, err
		}}
	}
}

var mutations = []mutation{
	{"reorders", "Order", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			if len(batch) > 1 {
				batch[0], batch[1] = batch[1], batch[0]
			}
			return batch, err
		}}
	}},
	{"drops the first message", "FirstMessage", "nothing came", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			if f.reads == 1 && len(batch) == 1 {
				return f.Feed.Read(context.Background())
			}
			return batch, err
		}}
	}},
	{"finds its tail only when it reads", "FirstMessage", "nothing came", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			if err != nil || after != "" {
				return f, err
			}
			return &lateFeed{Feed: f, d: d, topic: topic}, nil
		}}
	}},
	{"brings what is older than its tail", "FirstMessage", "the first that came", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			if after == "" {
				return d.FollowSince(ctx, topic, time.Time{})
			}
			return d.Follow(ctx, topic, after)
		}}
	}},
	{"brings again what it brought", "Order", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			if f.reads == 2 {
				f.held = slices.Clone(batch)
			}
			return batch, err
		}}
	}},
	{"returns more than a batch", "Order", "want 1 to 256", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			for err == nil && len(batch) < 300 {
				var more []domain.Entry
				more, err = f.Feed.Read(context.Background())
				batch = append(batch, more...)
			}
			return batch, err
		}}
	}},
	{"has positions that do not ascend as bytes", "Order", "positions", each(func(e *domain.Entry) {
		e.Position = domain.Position(strings.TrimLeft(string(e.Position), "\x00"))
	})},
	{"does not say when the log took it", "FanOut", "no time", each(func(e *domain.Entry) { e.Time = time.Time{} })},
	{"tells its readers apart", "TotalOrder", "different ones", func(d *wireDriver) transport.Driver {
		if apart.Add(1)%2 == 0 { // of three readers, one or two
			return d
		}
		return &mutant{wireDriver: d, read: sortedByPublisher}
	}},
	{"claims a log that it has not", "Claims", "claims a log", func(d *wireDriver) transport.Driver {
		return claiming{lossyDriver{d}, transport.Guarantees{Log: true, AtLeast: true, TotalOrder: true}}
	}},
	{"claims groups that it has not", "Claims", "claims consumer groups", func(d *wireDriver) transport.Driver {
		return claiming{lossyDriver{d}, transport.Guarantees{TotalOrder: true, Groups: true}}
	}},
	{"claims at least once without a log", "Cut", "claims at least once", func(d *wireDriver) transport.Driver {
		return claiming{lossyDriver{d}, transport.Guarantees{TotalOrder: true, AtLeast: true}}
	}},
	{"gives a group's every member everything", "Groups", "2 times", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, group: func(string) (message.Subscriber, error) {
			return transport.New(d.w.bus.Driver(), transport.Config{}), nil
		}}
	}},
	{"keeps the caller's bytes", "Untouched", "changed afterwards", func(d *wireDriver) transport.Driver {
		return &mutant{
			wireDriver: d,
			publish: func(ctx context.Context, records []transport.Outgoing) []error {
				for _, o := range records {
					d.w.shared.Store(o.Message.UUID, []byte(o.Message.Payload))
				}
				return d.Publish(ctx, records)
			},
			read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
				for i := range batch {
					kept, _ := d.w.shared.Load(batch[i].UUID)
					batch[i].Body = kept.([]byte)
				}
				return batch, err
			},
		}
	}},
	{"changes the caller's messages", "Untouched", "Publish changed", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			for _, o := range records {
				delete(o.Message.Metadata, transport.RawKey)
			}
			return d.Publish(ctx, records)
		}}
	}},
	{"lets readers share their bytes", "Untouched", "another reader", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			for i := range batch {
				known, _ := d.w.shared.LoadOrStore(batch[i].Position, batch[i].Body)
				batch[i].Body = known.([]byte)
			}
			return batch, err
		}}
	}},
	{"lets entries lie side by side", "Untouched", "entry 1", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			var buffer []byte
			for i := range batch {
				buffer = append(buffer, batch[i].Body...)
			}
			for i := range batch {
				n := len(batch[i].Body)
				batch[i].Body, buffer = buffer[:n], buffer[n:]
			}
			return batch, err
		}}
	}},
	{"loses UUIDs", "Content", "the UUID", each(func(e *domain.Entry) { e.UUID = "" })},
	{"writes metadata names small", "Content", "names that differ in case", each(func(e *domain.Entry) {
		for i := range e.Header {
			e.Header[i].Name = strings.ToLower(e.Header[i].Name)
		}
	})},
	{"trims metadata values", "Content", "white space", each(func(e *domain.Entry) {
		for i := range e.Header {
			e.Header[i].Value = strings.TrimSpace(e.Header[i].Value)
		}
	})},
	{"reads what it carries", "Raw", "came as", each(func(e *domain.Entry) {
		if len(e.Body) > 0 && e.Body[0] != '{' {
			e.Body = fmt.Appendf(nil, "%q", e.Body)
		}
	})},
	{"lets RawKey travel", "Raw", "with header", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			records = slices.Clone(records)
			for i, o := range records {
				records[i].Message = o.Message.Copy()
				records[i].Message.Metadata.Set("fanfare_raw", o.Message.Metadata[transport.RawKey])
			}
			return d.Publish(ctx, records)
		}}
	}},
	{"dies of poison", "Poison", "the feed is over", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(_ *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			if slices.ContainsFunc(batch, func(e domain.Entry) bool { return len(e.Body) > 0 && e.Body[0] == 0xff }) {
				return nil, errors.New("invalid UTF-8")
			}
			return batch, err
		}}
	}},
	{"swallows foreign poison", "ForeignPoison", "swallowed", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, read: func(f *mutantFeed, batch []domain.Entry, err error) ([]domain.Entry, error) {
			for {
				batch = slices.DeleteFunc(batch, func(e domain.Entry) bool { return string(e.Body) == "poison" })
				if len(batch) > 0 || err != nil {
					return batch, err
				}
				batch, err = f.Feed.Read(context.Background())
			}
		}}
	}},
	{"repeats the place it is asked to go on from", "Replay", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, before(after))
			if err == nil && after != "" {
				f = placed{f, after, f.Log()}
			}
			return f, err
		}}
	}},
	{"begins at the tail where it does not know the place", "Replay", "want a *GapError", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			if broken(err) {
				return d.Follow(ctx, topic, "")
			}
			return f, err
		}}
	}},
	{"rounds times up", "Since", "from the time of", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, since: func(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
			return d.FollowSince(ctx, topic, t.Add(time.Millisecond))
		}}
	}},
	{"does not look at the time", "Since", "from the time of", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, since: func(ctx context.Context, topic string, _ time.Time) (transport.Feed, error) {
			return d.FollowSince(ctx, topic, time.Time{})
		}}
	}},
	{"has a tail that is one too low", "Tail", "the tail is", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, tail: func(ctx context.Context, topic string) (domain.Position, error) {
			at, err := d.Tail(ctx, topic)
			return before(at), err
		}}
	}},
	{"says that a message is one before where it is", "Stored", "is said to be at", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			errs := d.Publish(ctx, records)
			for i := range records {
				records[i].At.Position = before(records[i].At.Position)
			}
			return errs
		}}
	}},
	{"says that a message is in another log", "Stored", "is said to be at", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			errs := d.Publish(ctx, records)
			for i := range records {
				records[i].At.Log++
			}
			return errs
		}}
	}},
	{"counts one too few", "Back", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, back: func(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error) {
			return d.Back(ctx, topic, upTo, n+1)
		}}
	}},
	{"counts from its tail alone", "Back", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, back: func(ctx context.Context, topic string, _ domain.Position, n int) (domain.Position, bool, error) {
			return d.Back(ctx, topic, "", n)
		}}
	}},
	{"does not say where its log starts", "BackTrimmed", "is the oldest", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, back: func(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error) {
			at, _, err := d.Back(ctx, topic, upTo, n)
			return at, false, err
		}}
	}},
	{"hides trimming", "Trim", "what follows was trimmed", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			if broken(err) {
				return d.FollowSince(ctx, topic, time.Time{})
			}
			return f, err
		}}
	}},
	{"skips what was trimmed under it", "Overtaken", "want number", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			if err != nil {
				return nil, err
			}
			return &reopening{Feed: f, d: d, topic: topic}, nil
		}}
	}},
	{"hides that a topic was made anew", "Recreate", "made anew", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			if broken(err) {
				f, err = d.FollowSince(ctx, topic, time.Time{})
			}
			if err != nil {
				return nil, err
			}
			return placed{&reopening{Feed: f, d: d, topic: topic}, f.Begin(), domain.NewLogID(topic)}, nil
		}}
	}},
	{"loses what it missed while it was cut off", "CutFeed", "nothing came", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, "")
			if err == nil && after != "" {
				f = placed{f, after, f.Log()}
			}
			return f, err
		}}
	}},
	{"goes on behind a cut without a break", "Cut", "lost silently", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			if after != "" {
				pause(ctx, 200*time.Millisecond) // the others are quicker
			}
			f, err := d.Follow(ctx, topic, "")
			if err == nil && after != "" {
				f = placed{f, after, f.Log()}
			}
			return f, err
		}}
	}},
	{"tells a gap where there is none", "Cut", "continuity was not proven", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			if after != "" {
				return nil, &transport.GapError{Reason: domain.Lossy, Detail: "who knows"}
			}
			return d.Follow(ctx, topic, "")
		}}
	}},
	{"hides, without a log, that it was cut off", "CutFeed", "does not end with its connection", func(d *wireDriver) transport.Driver {
		return silent{lossyDriver{d}}
	}},
	{"hides what its publishers' numbers tell", "Stamps", "it did not happen", func(d *wireDriver) transport.Driver {
		return lossyDriver{&wireDriver{framing{d}, d.w}}
	}},
	{"ignores the publish deadline", "Freeze", "Driver.Publish does not return", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			return d.Publish(context.WithoutCancel(ctx), records)
		}}
	}},
	{"says that a frozen broker took it", "Freeze", "Driver.Publish succeeds", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, publish: func(ctx context.Context, records []transport.Outgoing) []error {
			if errs := d.Publish(ctx, records); errs != nil && ctx.Err() == nil {
				return errs
			}
			return nil
		}}
	}},
	{"takes a frozen broker for well", "Down", "not down within", func(d *wireDriver) transport.Driver {
		return well{&mutant{wireDriver: d}}
	}},
	{"says that it is at the tail", "Deaf", "not deaf within", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, tail: func(context.Context, string) (domain.Position, error) {
			return domain.Position(make([]byte, 8)), nil
		}}
	}},
	{"leaks a goroutine", "FanOut", "goroutines are left", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			go func() { <-d.w.over }()
			return d.Follow(ctx, topic, after)
		}}
	}},
	{"does not end a Read that waits", "Cancel", "does not end", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, follow: func(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
			f, err := d.Follow(ctx, topic, after)
			return stubborn{f, d.w.over}, err
		}}
	}},
	{"cannot be closed twice", "Close", "closing a driver", func(d *wireDriver) transport.Driver {
		closed := false
		return &mutant{wireDriver: d, close: func() error {
			if closed {
				return errors.New("closed already")
			}
			closed = true
			return d.Close()
		}}
	}},
	{"goes on after Close", "Close", "that is closed", func(d *wireDriver) transport.Driver {
		return &mutant{wireDriver: d, close: func() error { return nil }}
	}},
}
