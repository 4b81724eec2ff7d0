package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// blockTime is how long the server waits for entries before it replies that
	// there are none. A quiet stream is checked this often. Together with the reply
	// timeout, 2 s by default, it bounds the time until a dead connection is noticed.
	blockTime = time.Second

	// batchBytes is about how many bytes the values of one batch should have at
	// most. Where entries are large, a feed asks for fewer of them.
	batchBytes = 4 << 20

	// readAhead is how many entries a batch has at least if the next one is requested
	// before it is returned. A smaller batch is returned first, as its reader waits for
	// nothing else: more entries are not there yet.
	readAhead = 32
)

// A feed reads one stream on a connection of its own.
//
// It requests the next batch before it returns a large one, so that the server and
// the reader work at the same time. At most one batch is received ahead.
type feed struct {
	conn         *redisconn.Conn
	topic        string
	logID        domain.LogID
	begin        id // where the feed began
	replyTimeout time.Duration
	release      func() // gives the feed's slot back

	progress  progress
	count     int  // how many entries to ask for
	requested bool // the replies to the last request have not been read yet
	replies   replyReader
	heard     time.Time
	err       error // why the feed is over
}

func newFeed(
	conn *redisconn.Conn, topic string, logID domain.LogID, start progress,
	replyTimeout time.Duration, release func(),
) *feed {
	return &feed{
		conn: conn, topic: topic, logID: logID, begin: start.last, replyTimeout: replyTimeout,
		release: release, progress: start, count: transport.BatchSize,
	}
}

func (f *feed) Log() domain.LogID      { return f.logID }
func (f *feed) Begin() domain.Position { return f.begin.position() }
func (f *feed) LastHeard() time.Time   { return f.heard }

// Close closes the feed's connection, and gives its slot to the next feed.
func (f *feed) Close() error {
	f.release()
	return f.conn.Close()
}

// Read waits for the entries after the last one that it returned, and proves that
// none is missing between them.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.heard = time.Now()
	defer context.AfterFunc(ctx, func() { _ = f.conn.Close() })()
	for {
		batch, err := f.receive()
		if err != nil {
			return nil, f.fail(err)
		}
		if len(batch) > 0 && len(batch) < readAhead {
			return batch, nil
		}
		if err := f.request(); err != nil {
			_ = f.fail(err) // the batch is proven: the next Read returns this error
		}
		if len(batch) > 0 {
			return batch, nil
		}
		if f.err != nil {
			return nil, f.err
		}
	}
}

// fail makes err the reason why the feed is over.
func (f *feed) fail(err error) error {
	f.err = readError(f.topic, f.conn.Explain(f.topic, err))
	return f.err
}

// readError makes an error that Read returns. A GapError stays as it is.
func readError(topic string, err error) error {
	if gap := (*transport.GapError)(nil); errors.As(err, &gap) {
		return err
	}
	return fmt.Errorf("redisstream: read %s: %w", topic, redisconn.Classify(err))
}

// request asks for the next entries, and right after that for the last entry that
// was read. The server replies in this order. So if the last entry still exists
// after the read, nothing behind it had been trimmed before the read.
func (f *feed) request() error {
	last := f.progress.last.String()
	f.conn.QueueAsking()
	f.conn.Queue("XREAD", "COUNT", strconv.Itoa(f.count),
		"BLOCK", strconv.FormatInt(blockTime.Milliseconds(), 10), "STREAMS", f.topic, last)
	f.conn.QueueAsking()
	f.conn.Queue("XRANGE", f.topic, last, last, "COUNT", "1")
	f.requested = true
	return f.conn.Flush()
}

// receive reads the replies to a request, proves the read, and advances the
// progress.
func (f *feed) receive() ([]domain.Entry, error) {
	if !f.requested {
		if err := f.request(); err != nil {
			return nil, err
		}
	}
	f.requested = false
	if err := awaitReply(f.conn, blockTime+f.replyTimeout); err != nil {
		return nil, err
	}
	batch, last, err := f.replies.readStream(f.conn)
	if err != nil {
		return nil, err
	}
	if err := f.conn.SkipAsking(); err != nil {
		return nil, err
	}
	exists, err := readExists(f.conn)
	if err != nil {
		return nil, err
	}
	if err := f.prove(exists, len(batch)); err != nil {
		return nil, err
	}
	f.heard = time.Now()
	f.progress.advance(last, len(batch))
	f.count = nextCount(f.count, f.replies.valueBytes)
	return batch, nil
}

// nextCount returns how many entries to ask for after a read that asked for count
// entries and received size bytes.
func nextCount(count, size int) int {
	if size > batchBytes {
		return max(1, int(int64(count)*batchBytes/int64(size)))
	}
	return min(transport.BatchSize, count*2)
}

// prove proves a read of got entries. exists says whether the entry that was last
// before the read still exists. Only if that is not enough does prove ask the server
// for the stream's info.
func (f *feed) prove(exists bool, got int) error {
	if f.progress.isProven(exists, got) {
		return nil
	}
	f.conn.QueueAsking()
	f.conn.Queue("XINFO", "STREAM", f.topic)
	if err := f.conn.Flush(); err != nil {
		return err
	}
	if err := awaitReply(f.conn, f.replyTimeout); err != nil {
		return err
	}
	info, err := readInfo(f.conn)
	if err != nil {
		return err
	}
	return f.progress.verify(info, exists, got)
}

// awaitReply is waitForReply for a command after [redisconn.Conn.QueueAsking].
func awaitReply(conn *redisconn.Conn, d time.Duration) error {
	if err := conn.SkipAsking(); err != nil {
		return err
	}
	return waitForReply(conn, d)
}

// waitForReply waits until a reply begins to arrive, and returns an error if none
// does within d.
func waitForReply(conn *redisconn.Conn, d time.Duration) error {
	arrived, err := conn.Wait(d)
	if err == nil && !arrived {
		err = fmt.Errorf("no answer within %v", d)
	}
	return err
}
