package memory

import (
	"context"
	"sync"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A feed reads one log forward. Only one goroutine may call Read at a time.
type feed struct {
	log   *log
	id    domain.LogID
	begin uint64          // sequence number of the last record before the feed
	last  uint64          // sequence number of the last record that was read; used by Read only
	batch []record        // kept from one Read to the next, to be used again; used by Read only
	bus   <-chan struct{} // closed when the bus is closed
	done  chan struct{}   // closed when the feed is closed
	once  sync.Once       // closes done
}

func newFeed(l *log, id domain.LogID, begin uint64, bus <-chan struct{}) *feed {
	return &feed{log: l, id: id, begin: begin, last: begin, bus: bus, done: make(chan struct{})}
}

func (f *feed) Log() domain.LogID { return f.id }

func (f *feed) Begin() domain.Position { return position(f.begin) }

func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	for {
		if err := f.live(ctx); err != nil {
			return nil, err
		}
		records, more, err := f.log.read(f.batch[:0], f.id, f.last, transport.BatchSize)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			entries := unpack(records, f.last)
			f.last += uint64(len(records))
			clear(records)
			f.batch = records
			return entries, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
		case <-f.done:
		case <-f.bus:
		}
	}
}

// live returns an error if the feed or the bus is closed, or if ctx has ended.
func (f *feed) live(ctx context.Context) error {
	select {
	case <-f.done:
		return domain.ErrClosed
	case <-f.bus:
		return domain.ErrClosed
	default:
		return ctx.Err()
	}
}

func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}
