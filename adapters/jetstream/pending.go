package jetstream

import (
	"fmt"
	"sync"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A pendingBatch is the records of one Publish while they wait for answers. Each
// record has an outcome of its own, which is success only if its stream has confirmed
// this very record. A pendingBatch is safe for concurrent use.
type pendingBatch struct {
	done chan struct{} // closed when all records have an outcome

	mu      sync.Mutex
	errs    []error  // natsconn.ErrUnanswered until the record has an outcome; guarded by mu
	streams []string // whose answers count, by record; guarded by mu
	hint    error    // what may explain why an answer does not come; guarded by mu
	missing int      // records without an outcome; guarded by mu
}

func newPendingBatch(n int) *pendingBatch {
	return &pendingBatch{
		done: make(chan struct{}), errs: natsconn.Unanswered(n), streams: make([]string, n), missing: n,
	}
}

// resolve gives a record its outcome, unless it has one.
func (b *pendingBatch) resolve(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.errs) || b.errs[i] != natsconn.ErrUnanswered {
		return
	}
	b.errs[i] = err
	if b.missing--; b.missing == 0 {
		close(b.done)
	}
}

// setStream names the stream whose answer to a record counts.
func (b *pendingBatch) setStream(i int, stream string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[i] = stream
}

func (b *pendingBatch) stream(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i >= len(b.streams) {
		return ""
	}
	return b.streams[i]
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
			b.resolve(i, err)
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
