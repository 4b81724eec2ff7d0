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
	// sharedBlock is how long the server waits for entries of streams that share a
	// connection. So late at most does a new feed on it get its first entries:
	// the streams that are waited for cannot be changed meanwhile.
	sharedBlock = 100 * time.Millisecond
	// fullBlock is how long it waits while some feed has not taken what it has,
	// and so is left out.
	fullBlock = 5 * time.Millisecond
	// sharedQueue is how many batches wait for a shared feed's reader.
	sharedQueue = 4
	// proveInterval is how often a stream that has nothing new is proven to be the
	// one that was read.
	proveInterval = time.Second
)

// A sharedFeed is a feed whose stream is read together with others', on a
// connection that they share. The lane's goroutine reads, proves and hands over;
// a feed whose reader is slow is left out until it has taken what waits for it.
type sharedFeed struct {
	topic      string
	log        domain.LogID
	begin      id
	shared     *sharedConn
	ready      chan []domain.Entry // closed by end
	err        error               // why it is over; set before ready is closed
	heard      atomic.Pointer[time.Time]
	closed     chan struct{} // closed by Close
	markClosed func()        // closes left, once

	// What follows is the lane's goroutine's alone.
	progress   progress
	lastProven time.Time // when the stream was last proven to be the same
	ended      bool
}

func newSharedFeed(topic string, log domain.LogID, from progress) *sharedFeed {
	f := &sharedFeed{
		topic: topic, log: log, begin: from.last, progress: from,
		ready: make(chan []domain.Entry, sharedQueue), closed: make(chan struct{}),
	}
	f.markClosed = sync.OnceFunc(func() { close(f.closed) })
	f.heardNow(time.Now())
	return f
}

func (f *sharedFeed) Log() domain.LogID      { return f.log }
func (f *sharedFeed) Begin() domain.Position { return f.begin.position() }
func (f *sharedFeed) LastHeard() time.Time   { return *f.heard.Load() }
func (f *sharedFeed) heardNow(t time.Time)   { f.heard.Store(&t) }

// Close takes the feed off the connection.
func (f *sharedFeed) Close() error {
	f.markClosed()
	f.shared.Leave(f.topic, f)
	return nil
}

// Read returns the next batch that the lane has proven.
func (f *sharedFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	f.heardNow(time.Now())
	select {
	case batch, more := <-f.ready:
		if !more {
			return nil, f.err
		}
		return batch, nil
	case <-f.closed:
		return nil, readError(f.topic, domain.ErrClosed)
	case <-ctx.Done():
		_ = f.Close()
		return nil, readError(f.topic, domain.ErrClosed)
	}
}

// end is the last that a feed hears of its lane. Only the lane's goroutine
// calls it.
func (f *sharedFeed) end(err error) {
	if f.ended {
		return
	}
	f.ended = true
	f.err = readError(f.topic, err)
	close(f.ready)
}

// A sharedConn is a connection that several feeds share.
type sharedConn = redisconn.SharedConn[*sharedFeed, *sharedReader]

// A sharedReader reads the streams of one lane, round by round.
type sharedReader struct {
	shared       *sharedConn
	conn         *redisconn.Conn
	replyTimeout time.Duration
	entrySize    int // about how many bytes an entry has, by what has come
	replies      replyReader
	feeds        []*sharedFeed // scratch
	reads        []streamRead  // scratch
	args         []string      // scratch
}

// A streamRead is what one round brings for one feed.
type streamRead struct {
	feed    *sharedFeed
	batch   []domain.Entry
	last    id
	present bool  // the entry where the feed stands is still there
	err     error // the feed is over
}

// serve reads the streams of a lane until its connection ends.
func (s *sharedReader) serve(lane *sharedConn) error {
	for s.shared = lane; ; {
		s.feeds = lane.Feeds(s.feeds[:0])
		if len(s.feeds) == 0 {
			return domain.ErrClosed
		}
		if err := s.readRound(s.pickFeeds()); err != nil {
			return err
		}
	}
}

// pickFeeds chooses the feeds that have room for a batch, and how long to wait for
// one.
func (s *sharedReader) pickFeeds() (block time.Duration) {
	s.reads, block = s.reads[:0], sharedBlock
	for _, f := range s.feeds {
		if len(f.ready) < cap(f.ready) {
			s.reads = append(s.reads, streamRead{feed: f})
		} else {
			block = fullBlock
		}
	}
	return block
}

// readRound reads what there is for the picked feeds, proves it and hands it over.
func (s *sharedReader) readRound(block time.Duration) error {
	if len(s.reads) == 0 {
		<-time.After(fullBlock) // all are full: their readers have to take something
		return nil
	}
	err := s.read(block)
	if answer := redisconn.Error(""); errors.As(err, &answer) {
		err = s.readEachAlone(err) // one of the streams spoils the answer for all
	}
	if err != nil {
		return err
	}
	if err := s.prove(); err != nil {
		return err
	}
	s.updateEntrySize()
	s.handOver()
	return nil
}

// count is how many entries of each stream to ask for: so many that an answer
// has batchBytes, about, if all of the streams have them.
func (s *sharedReader) count() string {
	n := batchBytes / (s.entrySize * len(s.reads))
	return strconv.Itoa(min(max(n, 1), transport.BatchSize))
}

// updateEntrySize notes how large entries are. That they are larger is believed at once,
// that they are smaller little by little: a batch says nothing about the streams
// that had nothing.
func (s *sharedReader) updateEntrySize() {
	n := 0
	for i := range s.reads {
		n += len(s.reads[i].batch)
	}
	if n > 0 {
		size := s.replies.valueBytes/n + 1
		s.entrySize = max(size, (7*s.entrySize+size)/8)
	}
}

// read asks for all streams at once.
func (s *sharedReader) read(block time.Duration) error {
	s.args = append(s.args[:0], "XREAD", "COUNT", s.count(),
		"BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS")
	for i := range s.reads {
		s.args = append(s.args, s.reads[i].feed.topic)
	}
	for i := range s.reads {
		s.args = append(s.args, s.reads[i].feed.progress.last.String())
	}
	s.conn.Queue(s.args...)
	if err := s.flushAndWait(block + s.replyTimeout); err != nil {
		return err
	}
	return s.replies.readStreams(s.conn, s.store)
}

// readEachAlone asks for each stream by itself, to tell the one that the server
// refuses from the others. That one's feed is over. If there is none, the
// connection is: why says what the server answered.
func (s *sharedReader) readEachAlone(why error) error {
	for i := range s.reads {
		f := s.reads[i].feed
		s.conn.Queue("XREAD", "COUNT", s.count(), "STREAMS", f.topic, f.progress.last.String())
	}
	if err := s.flushAndWait(s.replyTimeout); err != nil {
		return err
	}
	refused, size := false, 0
	for i := range s.reads {
		err := s.replies.readStreams(s.conn, s.store)
		size += s.replies.valueBytes
		if answer := redisconn.Error(""); errors.As(err, &answer) {
			s.reads[i].err, refused = err, true
		} else if err != nil {
			return err
		}
	}
	s.replies.valueBytes = size
	if !refused {
		return why
	}
	return nil
}

// store notes what a stream had.
func (s *sharedReader) store(topic string, batch []domain.Entry, last id) {
	for i := range s.reads {
		if r := &s.reads[i]; r.feed.topic == topic {
			r.batch, r.last = batch, last
			return
		}
	}
}

// flushAndWait sends what is queued and waits for the answer to begin.
func (s *sharedReader) flushAndWait(patience time.Duration) error {
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
func (s *sharedReader) prove() error {
	now := time.Now()
	due := func(r *streamRead) bool {
		f := r.feed
		return r.err == nil && (len(r.batch) > 0 || f.progress.ordinal < 0 || now.Sub(f.lastProven) >= proveInterval)
	}
	err := s.askAbout(due, func(r *streamRead) {
		at := r.feed.progress.last.String()
		s.conn.Queue("XRANGE", r.feed.topic, at, at, "COUNT", "1")
	}, func(r *streamRead) (err error) {
		r.present, err = readExists(s.conn)
		return err
	})
	if err != nil {
		return err
	}
	unproven := func(r *streamRead) bool {
		return due(r) && !r.feed.progress.isProven(r.present, len(r.batch))
	}
	err = s.askAbout(unproven, func(r *streamRead) {
		s.conn.Queue("XINFO", "STREAM", r.feed.topic)
	}, func(r *streamRead) error {
		state, err := readInfo(s.conn)
		if err == nil {
			r.err = r.feed.progress.verify(state, r.present, len(r.batch))
		}
		return err
	})
	for i := range s.reads {
		if r := &s.reads[i]; due(r) {
			r.feed.lastProven = now
		}
	}
	return err
}

// askAbout asks something about the reads that which chooses, in one round trip. What the
// server refuses ends that feed alone.
func (s *sharedReader) askAbout(which func(*streamRead) bool, ask func(*streamRead), answer func(*streamRead) error) error {
	var asked []*streamRead
	for i := range s.reads {
		if r := &s.reads[i]; which(r) {
			ask(r)
			asked = append(asked, r)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	if err := s.flushAndWait(s.replyTimeout); err != nil {
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
func (s *sharedReader) handOver() {
	now := time.Now()
	for i := range s.reads {
		r := &s.reads[i]
		switch {
		case r.err != nil:
			r.feed.end(r.err)
			s.shared.Leave(r.feed.topic, r.feed)
		case len(r.batch) > 0:
			r.feed.progress.advance(r.last, len(r.batch))
			r.feed.ready <- r.batch
			fallthrough
		default:
			r.feed.heardNow(now)
		}
		*r = streamRead{} // so that no batch is kept alive
	}
}
