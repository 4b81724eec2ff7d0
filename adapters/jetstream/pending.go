package jetstream

import (
	"fmt"
	"sync"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A pendingBatch is the records of one Publish while they wait for answers. Each
// record has an outcome of its own, which is success only if its stream has confirmed
// this very record. A pendingBatch is safe for concurrent use.
type pendingBatch struct {
	done chan struct{} // closed when all records have an outcome

	mu      sync.Mutex
	errs    []error // natsconn.ErrUnanswered until the record has an outcome; guarded by mu
	sent    []sent  // by record; guarded by mu
	hint    error   // what may explain why an answer does not come; guarded by mu
	missing int     // records without an outcome; guarded by mu
}

// A sent is what is known of a record that was sent.
type sent struct {
	to  target
	seq uint64 // in the stream; 0 until the record is confirmed
}

func newPendingBatch(n int) *pendingBatch {
	return &pendingBatch{
		done: make(chan struct{}), errs: natsconn.Unanswered(n), sent: make([]sent, n), missing: n,
	}
}

// resolve gives a record its outcome, unless it has one. Without an error, seq is the
// record's sequence in its stream.
func (b *pendingBatch) resolve(i int, seq uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.errs) || b.errs[i] != natsconn.ErrUnanswered {
		return
	}
	b.errs[i], b.sent[i].seq = err, seq
	if b.missing--; b.missing == 0 {
		close(b.done)
	}
}

// setTarget names the stream whose answer to a record counts.
func (b *pendingBatch) setTarget(i int, to target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[i].to = to
}

func (b *pendingBatch) stream(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.sent) {
		return ""
	}
	return b.sent[i].to.stream
}

// locate notes in the records where their logs have them, after finish. It reports false
// if a sequence is not above those before it: then the stream was made anew, and what
// follows is in another log.
func (b *pendingBatch) locate(records []transport.Outgoing) (ascending bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var room [64 * positionSize]byte // most publishes need no more
	all := room[:0]
	for i := range b.sent {
		all = appendPosition(all, b.sent[i].seq)
	}
	positions := domain.Position(all)
	for i := range b.sent {
		to := b.sent[i].to
		if b.errs[i] != nil || to.log == nil {
			continue
		}
		if !to.log.passes(b.sent[i].seq) {
			return false
		}
		records[i].At = domain.Location{
			Log: to.log.id, Position: positions[i*positionSize : (i+1)*positionSize],
		}
	}
	return true
}

// resolveRefused gives the records that the server has refused their outcome. The
// server names the topic only. If it refused as many records of the topic as are
// unanswered, it refused all of these. If not, the user's rights have just changed and
// a stream may have taken some of them; then only their answers can tell.
func (b *pendingBatch) resolveRefused(records []transport.Outgoing, refusals *natsconn.Refusals) {
	for topic, unanswered := range b.unanswered(records) {
		times, err := refusals.OfPublish(topic)
		switch {
		case err == nil:
			continue
		case times > 0 && times != len(unanswered):
			b.setHint(err)
			continue
		}
		for _, i := range unanswered {
			b.resolve(i, 0, err)
		}
	}
}

// unanswered returns the indexes of the records without an outcome, by topic.
func (b *pendingBatch) unanswered(records []transport.Outgoing) map[string][]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	indexes := make(map[string][]int, 1)
	for i, r := range records {
		if b.errs[i] == natsconn.ErrUnanswered {
			indexes[r.Topic] = append(indexes[r.Topic], i)
		}
	}
	return indexes
}

func (b *pendingBatch) setHint(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hint = err
}

// finish gives err to all records without an outcome, and returns the errors; nil if
// no record has one.
func (b *pendingBatch) finish(err error) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.hint != nil {
		err = fmt.Errorf("%w: %v", err, b.hint) // %v: the hint may not be the cause
	}
	if err != nil {
		natsconn.FillUnanswered(b.errs, err)
	}
	for _, err := range b.errs {
		if err != nil {
			return b.errs
		}
	}
	return nil
}
