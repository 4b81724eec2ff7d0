package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// nackPause is how long a group waits before it hands out a message again that was
	// nacked.
	nackPause = 100 * time.Millisecond
	// commitEvery is how often the acks are committed; a member that leaves commits, too.
	// After a crash, messages that were acked since the last commit come again.
	commitEvery = 200 * time.Millisecond
	// sessionTimeout is how long a member that died keeps its partition.
	sessionTimeout = 10 * time.Second
	// heartbeatInterval is how often a member tells the cluster that it lives.
	heartbeatInterval = 2 * time.Second
	// handlerTimeout is how long a handler may hold up a rebalance. After it the group
	// goes on without the member, and the message is delivered again.
	handlerTimeout = time.Minute
	// groupTimeout bounds the search for a topic, or its creation, and the leaving of a
	// group.
	groupTimeout = 5 * time.Second
)

// Group returns a subscriber in a consumer group. A new group begins with the oldest
// record of the topic. Since a topic has one partition, one member receives and the others
// stand by.
//
// Each message is handed out until it is acked; the next one follows the ack. Records that
// are trimmed before the group has read them are lost to it: see [Driver.Lost].
func (d *Driver) Group(name string) (message.Subscriber, error) { return d.GroupWindow(name, 1) }

// GroupWindow is Group for a member that holds up to inFlight messages. An ack is
// committed when all messages before it are acked. A rebalance waits for the handlers of
// a member with one message alone: what a member with more has not acked by then goes to
// another member at once, and is worked on twice.
func (d *Driver) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("kafka: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	g := &group{driver: d, name: name, inFlight: inFlight, log: d.log.With(slog.String("group", name))}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// A group is a member of a consumer group. It is safe for concurrent use.
type group struct {
	driver   *Driver
	name     string
	inFlight int
	log      *slog.Logger
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

// Subscribe takes the group's messages of a topic until ctx ends.
func (g *group) Subscribe(ctx context.Context, topicName string) (<-chan *message.Message, error) {
	if err := g.register(); err != nil {
		return nil, fmt.Errorf("kafka: group %s: subscribe to %s: %w", g.name, topicName, err)
	}
	acks := &ackOrder{}
	client, err := g.join(ctx, topicName, acks)
	if err != nil {
		g.running.Done()
		return nil, fmt.Errorf("kafka: group %s: subscribe to %s: %w", g.name, topicName, classify(err))
	}
	ctx, cancel := context.WithCancel(ctx)
	stopAfterFunc := context.AfterFunc(g.ctx, cancel)
	out := make(chan *message.Message)
	go func() {
		defer g.running.Done()
		defer close(out)
		defer g.leave(client)
		defer cancel()
		defer stopAfterFunc()
		g.serve(ctx, client, out, acks)
	}()
	return out, nil
}

// register counts a subscription as running, unless g is closed.
func (g *group) register() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return domain.ErrClosed
	}
	g.running.Add(1)
	return nil
}

// join makes sure that the topic exists, and returns a client that joins the group when it
// is first polled.
func (g *group) join(ctx context.Context, topicName string, acks *ackOrder) (*kgo.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	if _, err := g.driver.find(ctx, topicName); err != nil {
		return nil, err
	}
	oldest := kgo.NewOffset().AtStart()
	forget := func(context.Context, *kgo.Client, map[string][]int32) { acks.forget() }
	return g.driver.cluster.newClient(g.driver.cluster.seeds,
		kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(topicName),
		kgo.ConsumeStartOffset(oldest), kgo.ConsumeResetOffset(oldest),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(handlerTimeout), kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitEvery),
		kgo.OnPartitionsLost(forget), kgo.OnPartitionsRevoked(forget),
	)
}

// serve hands out messages in order until ctx ends. Where a member holds one message, a
// rebalance waits until the handler has answered it.
func (g *group) serve(
	ctx context.Context, client *kgo.Client, out chan<- *message.Message, acks *ackOrder,
) {
	var answers sync.WaitGroup
	defer answers.Wait()
	warn := rate.Sometimes{First: 1, Interval: 10 * time.Second}
	slots := make(chan struct{}, g.inFlight)
	for take(ctx, slots) {
		fetches := client.PollRecords(ctx, 1)
		fetches.EachError(func(_ string, _ int32, err error) {
			if ctx.Err() == nil {
				warn.Do(func() { g.log.Warn("a consumer group cannot read", "error", err) })
			}
		})
		records := fetches.Records() // one or none
		for _, r := range records {
			start := int64(0)
			fetches.EachPartition(func(p kgo.FetchTopicPartition) { start = max(start, p.LogStartOffset) })
			lost := acks.passedOver(r, start, client.CommittedOffsets)
			g.driver.Note(g.driver.log, g.name, r.Topic, uint64(lost))
			pending := acks.add(r)
			handedOut, done := make(chan struct{}), make(chan struct{})
			answers.Go(func() {
				defer func() { <-slots }()
				defer close(done)
				if deliver(ctx, out, r, func() { close(handedOut) }) {
					acks.acked(pending, client.MarkCommitRecords)
				}
			})
			if g.inFlight == 1 {
				<-done
				continue
			}
			select { // so that the next message is handed out after this one
			case <-handedOut:
			case <-done:
			}
		}
		if len(records) == 0 {
			<-slots
		}
		client.AllowRebalance()
		if len(fetches.Errors()) > 0 && !pause.For(ctx, nackPause) {
			return
		}
	}
}

// take waits for a free slot. It returns false if ctx has ended.
func take(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// deliver hands a record out until it is acked. It returns false if ctx ended before that.
// It calls handedOut when the record was handed out for the first time.
func deliver(ctx context.Context, out chan<- *message.Message, r *kgo.Record, handedOut func()) bool {
	for {
		acked, ok := attempt(ctx, out, r, handedOut)
		if acked || !ok {
			return acked
		}
		handedOut = func() {}
		if !pause.For(ctx, nackPause) {
			return false
		}
	}
}

// attempt hands a record out once and waits for the answer; ok is false if ctx ended before
// there was one.
func attempt(
	ctx context.Context, out chan<- *message.Message, r *kgo.Record, handedOut func(),
) (acked, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := toMessage(r)
	m.SetContext(ctx)
	select {
	case out <- m:
		handedOut()
	case <-ctx.Done():
		return false, false
	}
	select {
	case <-m.Acked():
		return true, true
	case <-m.Nacked():
		return false, true
	case <-ctx.Done():
	}
	select {
	case <-m.Acked(): // before ctx ended
		return true, true
	default:
		return false, false
	}
}

func toMessage(r *kgo.Record) *message.Message {
	e := decode(r)
	if e.UUID == "" {
		e.UUID = domain.NewID()
	}
	m := message.NewMessage(e.UUID, append([]byte(nil), e.Body...))
	for _, f := range e.Header {
		m.Metadata[f.Name] = f.Value
	}
	return m
}

// leave commits the last acks and leaves the group.
func (g *group) leave(client *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		g.log.Warn("the last acks are not committed: those messages will come again", "error", err)
	}
	_ = client.LeaveGroupContext(ctx)
	client.CloseAllowingRebalance()
}

// Close ends the subscriptions and waits for them.
func (g *group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	return nil
}
