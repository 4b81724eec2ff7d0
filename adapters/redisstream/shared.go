package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// joinEvery is how long the server waits for entries of streams that share a
	// connection. So late at most does a new feed on it get its first entries:
	// the streams that are waited for cannot be changed meanwhile.
	joinEvery = 100 * time.Millisecond
	// fullEvery is how long it waits while some feed has not taken what it has,
	// and so is left out.
	fullEvery = 5 * time.Millisecond
	// sharedBatches is how many batches wait for a shared feed's reader.
	sharedBatches = 4
	// proveEvery is how often a stream that has nothing new is proven to be the
	// one that was read.
	proveEvery = time.Second
)

// A sharedFeed is a feed whose stream is read together with others', on a
// connection that they share. The lane's goroutine reads, proves and hands over;
// a feed whose reader is slow is left out until it has taken what waits for it.
type sharedFeed struct {
	topic string
	log   domain.LogID
	begin id
	lane  *lane
	ready chan []domain.Entry // closed by end
	err   error               // why it is over; set before ready is closed
	heard atomic.Pointer[time.Time]
	left  chan struct{} // closed by Close
	leave func()        // closes left, once

	// What follows is the lane's goroutine's alone.
	place  place
	proven time.Time // when the stream was last proven to be the same
	over   bool
}

func newSharedFeed(topic string, log domain.LogID, from place) *sharedFeed {
	f := &sharedFeed{
		topic: topic, log: log, begin: from.at, place: from,
		ready: make(chan []domain.Entry, sharedBatches), left: make(chan struct{}),
	}
	f.leave = sync.OnceFunc(func() { close(f.left) })
	f.hear(time.Now())
	return f
}

func (f *sharedFeed) Log() domain.LogID      { return f.log }
func (f *sharedFeed) Begin() domain.Position { return f.begin.position() }
func (f *sharedFeed) LastHeard() time.Time   { return *f.heard.Load() }
func (f *sharedFeed) hear(t time.Time)       { f.heard.Store(&t) }

// Close takes the feed off the connection.
func (f *sharedFeed) Close() error {
	f.leave()
	f.lane.Leave(f.topic, f)
	return nil
}

// Read returns the next batch that the lane has proven.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.hear(time.Now())
	select {
	case batch, more := <-f.ready:
		if !more {
			return nil, f.err
		}
		return batch, nil
	case <-f.left:
		return nil, readError(f.topic, domain.ErrClosed)
	case <-ctx.Done():
		_ = f.Close()
		return nil, readError(f.topic, domain.ErrClosed)
	}
}

// end is the last that a feed hears of its lane. Only the lane's goroutine
// calls it.
func (f *sharedFeed) end(err error) {
	if f.over {
		return
	}
	f.over = true
	f.err = readError(f.topic, err)
	close(f.ready)
}

// A lane is a connection that several feeds share.
type lane = redisconn.Lane[*sharedFeed, *sharer]

// A sharer reads the streams of one lane, round by round.
type sharer struct {
	lane  *lane
	conn  *redisconn.Conn
	reply time.Duration
	entry int // about how many bytes an entry has, by what has come
	in    reader
	feeds []*sharedFeed // scratch
	reads []sharedRead  // scratch
	args  []string      // scratch
}

// A sharedRead is what one round brings for one feed.
type sharedRead struct {
	feed    *sharedFeed
	batch   []domain.Entry
	last    id
	present bool  // the entry where the feed stands is still there
	err     error // the feed is over
}

// serve reads the streams of a lane until its connection ends.
func (s *sharer) serve(lane *lane) error {
	for s.lane = lane; ; {
		s.feeds = lane.Feeds(s.feeds[:0])
		if len(s.feeds) == 0 {
			return domain.ErrClosed
		}
		if err := s.round(s.pick()); err != nil {
			return err
		}
	}
}

// pick chooses the feeds that have room for a batch, and how long to wait for
// one.
func (s *sharer) pick() (block time.Duration) {
	s.reads, block = s.reads[:0], joinEvery
	for _, f := range s.feeds {
		if len(f.ready) < cap(f.ready) {
			s.reads = append(s.reads, sharedRead{feed: f})
		} else {
			block = fullEvery
		}
	}
	return block
}

// round reads what there is for the picked feeds, proves it and hands it over.
func (s *sharer) round(block time.Duration) error {
	if len(s.reads) == 0 {
		<-time.After(fullEvery) // all are full: their readers have to take something
		return nil
	}
	err := s.read(block)
	if answer := redisconn.Error(""); errors.As(err, &answer) {
		err = s.readApart(err) // one of the streams spoils the answer for all
	}
	if err != nil {
		return err
	}
	if err := s.prove(); err != nil {
		return err
	}
	s.learn()
	s.handOver()
	return nil
}

// count is how many entries of each stream to ask for: so many that an answer
// has batchBytes, about, if all of the streams have them.
func (s *sharer) count() string {
	n := batchBytes / (s.entry * len(s.reads))
	return strconv.Itoa(min(max(n, 1), transport.BatchSize))
}

// learn notes how large entries are. That they are larger is believed at once,
// that they are smaller little by little: a batch says nothing about the streams
// that had nothing.
func (s *sharer) learn() {
	n := 0
	for i := range s.reads {
		n += len(s.reads[i].batch)
	}
	if n > 0 {
		size := s.in.size/n + 1
		s.entry = max(size, (7*s.entry+size)/8)
	}
}

// read asks for all streams at once.
func (s *sharer) read(block time.Duration) error {
	s.args = append(s.args[:0], "XREAD", "COUNT", s.count(),
		"BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS")
	for i := range s.reads {
		s.args = append(s.args, s.reads[i].feed.topic)
	}
	for i := range s.reads {
		s.args = append(s.args, s.reads[i].feed.place.at.String())
	}
	s.conn.Queue(s.args...)
	if err := s.send(block + s.reply); err != nil {
		return err
	}
	return s.in.batches(s.conn, s.take)
}

// readApart asks for each stream by itself, to tell the one that the server
// refuses from the others. That one's feed is over. If there is none, the
// connection is: why says what the server answered.
func (s *sharer) readApart(why error) error {
	for i := range s.reads {
		f := s.reads[i].feed
		s.conn.Queue("XREAD", "COUNT", s.count(), "STREAMS", f.topic, f.place.at.String())
	}
	if err := s.send(s.reply); err != nil {
		return err
	}
	refused, size := false, 0
	for i := range s.reads {
		err := s.in.batches(s.conn, s.take)
		size += s.in.size
		if answer := redisconn.Error(""); errors.As(err, &answer) {
			s.reads[i].err, refused = err, true
		} else if err != nil {
			return err
		}
	}
	s.in.size = size
	if !refused {
		return why
	}
	return nil
}

// take notes what a stream had.
func (s *sharer) take(topic string, batch []domain.Entry, last id) {
	for i := range s.reads {
		if r := &s.reads[i]; r.feed.topic == topic {
			r.batch, r.last = batch, last
			return
		}
	}
}

// send sends what is queued and waits for the answer to begin.
func (s *sharer) send(patience time.Duration) error {
	if err := s.conn.Flush(); err != nil {
		return err
	}
	came, err := s.conn.Wait(patience)
	if err == nil && !came {
		err = fmt.Errorf("no answer within %v", patience)
	}
	return err
}

// prove proves that each read continues where its feed stood, as feed.prove
// does: it asks for the entry there after the read. A stream that had nothing is
// looked at now and then, for it may have begun anew; and at once while its
// ordinal is not known.
func (s *sharer) prove() error {
	now := time.Now()
	due := func(r *sharedRead) bool {
		f := r.feed
		return r.err == nil && (len(r.batch) > 0 || f.place.ordinal < 0 || now.Sub(f.proven) >= proveEvery)
	}
	err := s.each(due, func(r *sharedRead) {
		at := r.feed.place.at.String()
		s.conn.Queue("XRANGE", r.feed.topic, at, at, "COUNT", "1")
	}, func(r *sharedRead) (err error) {
		r.present, err = readPresent(s.conn)
		return err
	})
	if err != nil {
		return err
	}
	unproven := func(r *sharedRead) bool {
		return due(r) && !r.feed.place.proven(r.present, len(r.batch))
	}
	err = s.each(unproven, func(r *sharedRead) {
		s.conn.Queue("XINFO", "STREAM", r.feed.topic)
	}, func(r *sharedRead) error {
		state, err := readState(s.conn)
		if err == nil {
			r.err = r.feed.place.settle(state, r.present, len(r.batch))
		}
		return err
	})
	for i := range s.reads {
		if r := &s.reads[i]; due(r) {
			r.feed.proven = now
		}
	}
	return err
}

// each asks something about the reads that which chooses, in one round trip. What the
// server refuses ends that feed alone.
func (s *sharer) each(which func(*sharedRead) bool, ask func(*sharedRead), answer func(*sharedRead) error) error {
	var asked []*sharedRead
	for i := range s.reads {
		if r := &s.reads[i]; which(r) {
			ask(r)
			asked = append(asked, r)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	if err := s.send(s.reply); err != nil {
		return err
	}
	for _, r := range asked {
		err := answer(r)
		if refusal := redisconn.Error(""); errors.As(err, &refusal) {
			r.err = err
		} else if err != nil {
			return err
		}
	}
	return nil
}

// handOver gives each feed what was read and proven. There is room for it: only
// feeds with room were picked, and nobody else adds.
func (s *sharer) handOver() {
	now := time.Now()
	for i := range s.reads {
		r := &s.reads[i]
		switch {
		case r.err != nil:
			r.feed.end(r.err)
			s.lane.Leave(r.feed.topic, r.feed)
		case len(r.batch) > 0:
			r.feed.place.advance(r.last, len(r.batch))
			r.feed.ready <- r.batch
			fallthrough
		default:
			r.feed.hear(now)
		}
		*r = sharedRead{} // so that no batch is kept alive
	}
}
