package redisstream

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// readCount is the most entries that a member reads at once.
	readCount = 64
	// readBlock is how long a read waits for entries. A member that ends waits for it.
	readBlock = 200 * time.Millisecond
)

// The pauses before a member that cannot read tries again.
const (
	retryReadMin = 100 * time.Millisecond
	retryReadMax = 2 * time.Second
)

// A membership is a group member's subscription to one topic. Its goroutines are: run,
// which reads and hands out; one for each message that waits for its answer; confirm,
// which acks; and keep, which tells the server that the member still works.
type membership struct {
	*group
	topic    string
	consumer string             // what the server calls the member
	waiting  *redisconn.Masters // waits for entries
	cut      atomic.Bool        // waiting was closed in the middle of a read
	slots    chan struct{}      // holds a token for each entry that is held
	acked    chan string        // ids of entries to ack
	out      chan *message.Message

	skipped int64 // how many entries the server has counted too few as read; belongs to run

	heldMu  sync.Mutex
	held    map[string]struct{} // ids of entries read and not yet acked; guarded by heldMu
	warnMu  sync.Mutex
	warn    rate.Sometimes // guarded by warnMu
	noticed []string       // what notice has warned of; guarded by warnMu
}

// run reads and hands out until ctx ends. Then it gives back what is not acked.
func (m *membership) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	var answers, helpers sync.WaitGroup
	read := make(chan struct{}) // closed when nothing is read any more
	helpers.Go(func() { m.closeReader(ctx, read) })
	helpers.Go(func() { m.confirm(ctx) })
	helpers.Go(func() { m.keep(ctx) })
	m.readAll(ctx, &answers)
	close(read)
	cancel()
	answers.Wait()
	close(m.acked)
	helpers.Wait()
	m.leave()
	close(m.out)
}

// closeReader closes the connection that waits for entries, once ctx has ended and the read
// under way is over: what is read does not watch ctx, and ends by itself after readBlock. A
// read that takes longer than groupTimeout then is cut off.
func (m *membership) closeReader(ctx context.Context, read <-chan struct{}) {
	<-ctx.Done()
	timeout := time.NewTimer(groupTimeout)
	defer timeout.Stop()
	select {
	case <-read:
	case <-timeout.C:
		m.cut.Store(true)
	}
	_ = m.waiting.Close()
}

// readAll reads and hands out until ctx ends.
func (m *membership) readAll(ctx context.Context, answers *sync.WaitGroup) {
	backoff := pause.Backoff{Min: retryReadMin, Max: retryReadMax}
	var claimed time.Time // when the member last looked for others' entries
	for ctx.Err() == nil {
		free := m.take(ctx)
		if free == 0 {
			return
		}
		var entries []redis.XMessage
		var err error
		if time.Since(claimed) >= m.claimInterval() {
			claimed = time.Now()
			m.lookForLosses(ctx)
			if entries, err = m.claim(ctx, free); len(entries) > 0 {
				claimed = time.Time{} // there may be more
			}
		}
		if err == nil && len(entries) == 0 {
			entries, err = m.read(ctx, free)
		}
		m.hold(entries)
		for range free - len(entries) {
			<-m.slots
		}
		for i := range entries {
			m.handOut(ctx, &entries[i], answers)
		}
		switch {
		case err == nil:
			backoff.Reset()
		case ctx.Err() == nil && !m.recreated(ctx, err):
			m.warning("a consumer group cannot read", err)
			if !backoff.Wait(ctx) {
				return
			}
		}
	}
}

func (m *membership) claimInterval() time.Duration { return min(m.claimAfter, maxClaimInterval) }

// take takes all slots that are free, one at least and readCount at most. It returns 0 if
// ctx has ended.
func (m *membership) take(ctx context.Context) (n int) {
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n = 1; n < readCount; n++ {
		select {
		case m.slots <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

// read waits for entries that no member has.
func (m *membership) read(ctx context.Context, count int) ([]redis.XMessage, error) {
	streams, err := m.waiting.Client().XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: m.name, Consumer: m.consumer, Streams: []string{m.topic, ">"},
		Count: int64(count), Block: readBlock,
	}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(streams) != 1 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

// hold notes the ids of entries.
func (m *membership) hold(entries []redis.XMessage) {
	m.heldMu.Lock()
	defer m.heldMu.Unlock()
	for i := range entries {
		m.held[entries[i].ID] = struct{}{}
	}
}

// letGo forgets ids that were acked, and frees their slots.
func (m *membership) letGo(ids []string) {
	m.heldMu.Lock()
	for _, id := range ids {
		delete(m.held, id)
	}
	m.heldMu.Unlock()
	for range ids {
		<-m.slots
	}
}

// holding returns the ids of the entries that are held.
func (m *membership) holding() []string {
	m.heldMu.Lock()
	defer m.heldMu.Unlock()
	return slices.Collect(maps.Keys(m.held))
}

// handOut hands out an entry and returns; answers has the goroutine that waits for the
// answer. An entry that is not acked when ctx ends stays held.
func (m *membership) handOut(ctx context.Context, entry *redis.XMessage, answers *sync.WaitGroup) {
	msg, cancel := toMessage(ctx, entry.Values)
	select {
	case m.out <- msg:
	case <-ctx.Done():
		cancel()
		return
	}
	answers.Go(func() {
		for !await(ctx, msg) {
			cancel()
			if !pause.For(ctx, nackDelay) {
				return
			}
			msg, cancel = toMessage(ctx, entry.Values)
			select {
			case m.out <- msg:
			case <-ctx.Done():
				cancel()
				return
			}
		}
		cancel()
		m.acked <- entry.ID // it has room for all that are held
	})
}

// await waits for the answer to a message, and reports whether it was acked.
func await(ctx context.Context, msg *message.Message) (acked bool) {
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
		return false
	case <-ctx.Done():
	}
	select {
	case <-msg.Acked():
		return true
	default:
		return false
	}
}

// toMessage makes a message of an entry's fields, also of one that cannot be decoded. A
// message without a UUID gets a new one. Its context ends when cancel is called.
func toMessage(ctx context.Context, values map[string]any) (*message.Message, context.CancelFunc) {
	fields := make([]field, 0, len(values))
	for name, value := range values {
		text, _ := value.(string)
		fields = append(fields, field{name, []byte(text)})
	}
	e := new(arena).decode(fields)
	if e.UUID == "" {
		e.UUID = domain.NewID()
	}
	ctx, cancel := context.WithCancel(ctx)
	msg := message.NewMessageWithContext(ctx, e.UUID, e.Body)
	for _, f := range e.Header {
		msg.Metadata.Set(f.Name, f.Value)
	}
	return msg, cancel
}

// warning logs an error, unless it comes from the end of the subscription.
func (m *membership) warning(text string, err error) {
	if isClosed(err) {
		return
	}
	m.warnMu.Lock()
	defer m.warnMu.Unlock()
	m.warn.Do(func() { m.logProblem(slog.LevelWarn, text, err) })
}

// notice logs an error of something that the group can do without: as a warning, once, if
// the server refuses it, which an operator can change.
func (m *membership) notice(text string, err error) {
	level := slog.LevelDebug
	if redisconn.IsRefusal(err) {
		m.warnMu.Lock()
		if !slices.Contains(m.noticed, text) {
			m.noticed = append(m.noticed, text)
			level = slog.LevelWarn
		}
		m.warnMu.Unlock()
	}
	m.logProblem(level, text, err)
}

func (m *membership) logProblem(level slog.Level, text string, err error) {
	m.log.Log(context.Background(), level, text,
		"topic", m.topic, "error", m.driver.server.Explain(m.topic, err))
}
