package redisstream

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// sharedBlock is how long the server waits for entries of the streams that share
	// a connection. The list of streams cannot be changed while it waits, so a new
	// feed gets its first entries up to this much later.
	sharedBlock = 100 * time.Millisecond
	// fullBlock is how long the server waits while at least one feed is left out
	// because its queue is full.
	fullBlock = 5 * time.Millisecond
)

// A sharedConn is a connection that several feeds share.
type sharedConn = redisconn.SharedConn[*sharedFeed, *sharedReader]

// A sharedReader reads the streams of all feeds on one shared connection, in rounds:
// it asks for all of them with one XREAD (in a cluster, for each that has [changes]
// with its own), proves what it received, and puts it into the feeds' queues. One
// goroutine, the connection's, uses it.
type sharedReader struct {
	shared       *sharedConn
	masters      *redisconn.Masters // of a cluster, otherwise nil
	changes      *changes           // of a cluster's streams
	log          *slog.Logger       // for a cluster
	conn         *redisconn.Conn
	replyTimeout time.Duration
	entrySize    int // an estimate of how many bytes the values of one entry have
	replies      replyReader

	feeds []*sharedFeed // scratch: the feeds on the connection
	reads []streamRead  // scratch: the reads of one round
	args  []string      // scratch: the arguments of XREAD
}

// A streamRead is the read of one feed's stream in one round.
type streamRead struct {
	feed   *sharedFeed
	batch  []domain.Entry
	last   id    // the id of the batch's last entry
	exists bool  // the entry that was last before the read still exists
	err    error // why the feed is over
}

// newSharedConns returns the shared connections of a driver.
func newSharedConns(
	server *redisconn.Server, masters *redisconn.Masters, log *slog.Logger,
) *redisconn.SharedConns[*sharedFeed, *sharedReader] {
	return redisconn.NewSharedConns(redisconn.SharedConfig[*sharedFeed, *sharedReader]{
		Dial: masters.Dial,
		State: func(conn *redisconn.Conn) *sharedReader {
			s := &sharedReader{
				conn: conn, replyTimeout: server.ReplyTimeout(),
				entrySize: batchBytes / transport.BatchSize,
			}
			if server.IsCluster() {
				s.masters, s.log = masters, log
			}
			return s
		},
		Serve: func(shared *sharedConn) error { return shared.State.serve(shared) },
		End:   (*sharedFeed).end,
	})
}

// serve reads in rounds until the connection ends or all feeds have left.
func (s *sharedReader) serve(shared *sharedConn) error {
	s.shared = shared
	if s.masters != nil {
		if err := s.watch(); err != nil {
			return err
		}
		defer s.changes.close()
	}
	for {
		s.feeds = shared.Feeds(s.feeds[:0])
		if len(s.feeds) == 0 {
			return domain.ErrClosed
		}
		if s.masters != nil {
			if err := s.awaitChanges(); err != nil {
				return err
			}
		}
		if err := s.readRound(s.pickFeeds()); err != nil {
			return err
		}
	}
}

// watch has the server tell which streams change.
func (s *sharedReader) watch() error {
	wake, err := s.masters.Dial(context.Background(), s.conn.Addr())
	if err == nil {
		s.changes, err = watchChanges(s.conn, wake)
	}
	if err == nil && s.changes.refused != nil {
		s.log.Warn("the server does not tell which streams change: they are all asked for again and again",
			"server", s.conn.Addr(), "interval", pollInterval,
			"error", s.conn.Explain(invalidations, s.changes.refused))
	}
	return err
}

// awaitChanges waits until a stream may have changed, as long as an XREAD of all would
// wait. If there is something to read already, it only looks.
func (s *sharedReader) awaitChanges() error {
	block := sharedBlock
	for _, f := range s.feeds {
		if f.changed && f.hasRoom() {
			block = changesBlock
		} else if f.changed {
			block = min(block, fullBlock)
		}
	}
	return s.changes.await(block, func(topic string) {
		for _, f := range s.feeds {
			f.changed = f.changed || topic == "" || f.topic == topic
		}
	})
}

// pickFeeds starts a round with the feeds that have room for a batch, and returns
// how long the server may wait for entries. In a cluster it picks those that have
// changed, and those that must be proven.
func (s *sharedReader) pickFeeds() (block time.Duration) {
	s.reads, block = s.reads[:0], sharedBlock
	now := time.Now()
	for _, f := range s.feeds {
		if !f.hasRoom() {
			block = fullBlock
		} else if s.masters == nil || f.changed || now.Sub(f.lastProven) >= proveInterval {
			s.reads = append(s.reads, streamRead{feed: f})
			f.changed = false
		}
	}
	return block
}

// readRound reads the streams of the picked feeds, proves the reads and hands them
// over. An error means that the connection cannot be used any more.
func (s *sharedReader) readRound(block time.Duration) error {
	switch {
	case len(s.reads) == 0 && s.masters != nil:
		return nil // awaitChanges waits
	case len(s.reads) == 0: // all queues are full
		pause.For(context.Background(), fullBlock)
		return nil
	}
	if err := s.readPicked(block); err != nil {
		return err
	}
	if err := s.prove(); err != nil {
		return err
	}
	s.updateEntrySize()
	s.handOver()
	return nil
}

// readPicked reads the streams of the picked feeds.
func (s *sharedReader) readPicked(block time.Duration) error {
	if s.masters != nil {
		_, err := s.readEach()
		return err
	}
	err := s.read(block)
	if !isErrorReply(err) {
		return err
	}
	// One bad stream is enough for an error about all.
	found, eachErr := s.readEach()
	if eachErr == nil && !found {
		return err
	}
	return eachErr
}

// read asks for the streams of all picked feeds with one XREAD.
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

// readEach asks for each stream with an XREAD of its own, which does not wait. The
// feeds of those that the server answers with an error are over; found reports whether
// there are any.
func (s *sharedReader) readEach() (found bool, err error) {
	count := s.count()
	for i := range s.reads {
		f := s.reads[i].feed
		s.conn.Queue("XREAD", "COUNT", count, "STREAMS", f.topic, f.progress.last.String())
	}
	if err := s.flushAndWait(s.replyTimeout); err != nil {
		return false, err
	}
	size := 0
	for i := range s.reads {
		err := s.replies.readStreams(s.conn, s.store)
		size += s.replies.valueBytes
		if isErrorReply(err) {
			s.reads[i].err, found = err, true
		} else if err != nil {
			return false, err
		}
	}
	s.replies.valueBytes = size
	return found, nil
}

// store keeps what a stream had with the read of its feed.
func (s *sharedReader) store(topic string, batch []domain.Entry, last id) {
	for i := range s.reads {
		if r := &s.reads[i]; r.feed.topic == topic {
			r.batch, r.last = batch, last
			return
		}
	}
}

// count returns how many entries of each stream to ask for. If every stream has that
// number, the reply has about batchBytes.
func (s *sharedReader) count() string {
	n := batchBytes / (s.entrySize * len(s.reads))
	return strconv.Itoa(min(max(n, 1), transport.BatchSize))
}

// updateEntrySize updates the estimate of an entry's size. The estimate rises at
// once, but falls slowly: small entries in this round say nothing about the streams
// that had none.
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

// handOver puts what was read and proven into the queues, and ends the feeds that
// are over. No queue is full: pickFeeds left those out, and only this goroutine
// adds to them.
func (s *sharedReader) handOver() {
	now := time.Now()
	for i := range s.reads {
		r := &s.reads[i]
		if r.err != nil {
			r.feed.end(s.conn.Explain(r.feed.topic, r.err))
			s.shared.Leave(r.feed.topic, r.feed)
		} else {
			if len(r.batch) > 0 {
				r.feed.progress.advance(r.last, len(r.batch))
				r.feed.changed = true // there may be more
				r.feed.ready <- r.batch
			}
			r.feed.setHeard(now)
		}
		*r = streamRead{} // so that the scratch keeps no batch in memory
	}
}

// flushAndWait sends the queued commands, and waits until the first reply begins to
// arrive.
func (s *sharedReader) flushAndWait(d time.Duration) error {
	if err := s.conn.Flush(); err != nil {
		return err
	}
	return waitForReply(s.conn, d)
}

// isErrorReply reports whether the server replied with an error. The connection can
// still be used after one.
func isErrorReply(err error) bool {
	var reply redisconn.Error
	return errors.As(err, &reply)
}
