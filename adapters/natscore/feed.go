package natscore

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A feed is one subscription on one connection.
type feed struct {
	conn      *natsconn.Conn
	box       *natsconn.Mailbox
	topic     string
	readBegan time.Time // of the last Read
	err       error     // why the feed is over; nil before
}

func (f *feed) Log() domain.LogID      { return 0 }
func (f *feed) Begin() domain.Position { return "" }
func (f *feed) Close() error           { return f.box.Close() }

// LastHeard is when the last Read began, or when the server last sent something if
// that is later.
func (f *feed) LastHeard() time.Time {
	if heard := f.conn.LastHeard(); heard.After(f.readBegan) {
		return heard
	}
	return f.readBegan
}

// Read waits for a message, and returns it with those that have arrived by then.
func (f *feed) Read(ctx context.Context) ([]domain.Entry, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.readBegan = time.Now()
	messages, err := f.box.Take(ctx, transport.BatchSize, 0)
	if err != nil {
		f.err = fmt.Errorf("natscore: read %s: %w", f.topic, natsconn.Classify(err))
		return nil, f.err
	}
	batch := make([]domain.Entry, len(messages))
	for i, m := range messages {
		batch[i] = natsconn.Decode(m.Data, m.Header)
	}
	return batch, nil
}
