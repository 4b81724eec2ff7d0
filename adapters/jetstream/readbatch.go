package jetstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/domain"
)

// A readBatch is what a feed makes of the messages of one Read.
type readBatch struct {
	entries   []domain.Entry // without their positions
	positions []byte         // of the entries, one after the other
	jumps     []jump
	readTo    uint64 // the sequence up to which the batch reads the topic
}

// A jump is where the stream sequence grows by more than one. Messages of other topics
// and deleted messages cause jumps, and so does trimming, which is a loss.
type jump struct {
	after   uint64 // the sequence before the jump
	entries int    // of the batch before the jump
}

// decode makes entries of messages. If an error ends the feed, what came before it is
// returned with it.
func (f *feed) decode(ctx context.Context, messages []*nats.Msg) ([]domain.Entry, error) {
	b := readBatch{
		entries:   make([]domain.Entry, 0, len(messages)),
		positions: make([]byte, 0, positionSize*len(messages)),
		readTo:    f.readTo,
	}
	var err error
	for _, m := range messages {
		if err = f.add(&b, m); err != nil {
			break
		}
	}
	return f.finish(ctx, &b, err)
}

// add adds a message or a status to a batch.
func (f *feed) add(b *readBatch, m *nats.Msg) error {
	if m.Reply == "" {
		seq, err := f.readStatus(m)
		if err != nil {
			return err
		}
		if seq > b.readTo {
			b.jumps, b.readTo = append(b.jumps, jump{b.readTo, len(b.entries)}), seq
		}
		return nil
	}
	d, ok := parseDelivery(m.Reply)
	switch {
	case !ok:
		return fmt.Errorf("%q is no delivery of a consumer", m.Reply)
	case d.consumerSeq != f.consumerSeq+1 || d.streamSeq <= b.readTo:
		return fmt.Errorf("delivery %d of message %d came after %d of %d",
			d.consumerSeq, d.streamSeq, f.consumerSeq, b.readTo)
	case d.streamSeq != b.readTo+1:
		b.jumps = append(b.jumps, jump{b.readTo, len(b.entries)})
	}
	f.consumerSeq, f.requested, b.readTo = d.consumerSeq, max(0, f.requested-1), d.streamSeq
	e := natsconn.Decode(m.Data, m.Header)
	e.Time = d.time
	b.entries, b.positions = append(b.entries, e), appendPosition(b.positions, d.streamSeq)
	return nil
}

// finish proves a batch and sets its entries' positions. It returns the entries that are
// proven, with err or with the error that ends the feed after them.
func (f *feed) finish(ctx context.Context, b *readBatch, err error) ([]domain.Entry, error) {
	entries := b.entries
	if len(b.jumps) > 0 {
		if proven, gap := f.proveJumps(ctx, b.jumps); gap != nil {
			entries, err = entries[:proven], gap
		}
	}
	f.readTo = b.readTo
	all := domain.Position(b.positions) // one string for the whole batch
	for i := range entries {
		entries[i].Position = all[i*positionSize : (i+1)*positionSize]
	}
	if n := len(entries); n > 0 {
		seq, _ := parsePosition(entries[n-1].Position)
		f.newest.note(f.log.id, storedMessage{seq, entries[n-1].Time})
	}
	return entries, err
}

// proveJumps asks the stream whether it still holds everything after each jump. If not, it
// returns an error and the number of entries before the first jump that is not proven.
func (f *feed) proveJumps(ctx context.Context, jumps []jump) (proven int, err error) {
	var info *jetstream.StreamInfo
	ctx, cancel := context.WithTimeout(ctx, maxSilence)
	defer cancel()
	err = f.api.call(ctx, func(ctx context.Context, js jetstream.JetStream) (err error) {
		info, err = streamInfo(ctx, js, f.log.stream)
		return err
	})
	if err != nil {
		return jumps[0].entries, err
	}
	for _, j := range jumps {
		if err := f.log.prove(info, j.after); err != nil {
			return j.entries, err
		}
	}
	return 0, nil
}

// readStatus reads a status, which the server sends instead of a message. For a heartbeat
// it returns the stream sequence that the consumer has reached; for the end of a request it
// returns 0. Every other status means that the consumer has ended.
func (f *feed) readStatus(m *nats.Msg) (seq uint64, err error) {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch code {
	case "100": // heartbeat
		delivered, _ := parseUint(m.Header.Get("Nats-Last-Consumer"))
		seq, _ := parseUint(m.Header.Get("Nats-Last-Stream"))
		if delivered != f.consumerSeq {
			return 0, fmt.Errorf("%d deliveries came of %d", f.consumerSeq, delivered)
		}
		return seq, nil
	case "404", "408", "409": // the request has ended
		rest, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		if err != nil || strings.Contains(text, "Shutdown") {
			break // the consumer is gone, or its server shuts down
		}
		f.requested = max(0, f.requested-rest)
		return 0, nil
	case "503":
		text = "the consumer is gone"
	}
	return 0, fmt.Errorf("the consumer ended: %s %s", code, text)
}
