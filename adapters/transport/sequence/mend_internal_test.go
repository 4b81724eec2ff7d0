package sequence

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

// batchSize is how many entries a transport reads at once.
const batchSize = 256

// BenchmarkMend takes the stamps of three publishers off batches of 128 B
// messages, and makes their landmarks.
func BenchmarkMend(b *testing.B) {
	starts := []startID{newStartID(), newStartID(), newStartID()}
	body := fmt.Appendf(nil, `{"to":"user:alice","data":"%0100d"}`, 0)
	s := NewChecker(true)
	batch := make([]domain.Entry, batchSize)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			n++
			batch[i].Body = appendStamped(batch[i].Body[:0], stamp{starts[n%3], n/3 + 1}, body)
		}
		if got := s.Check(batch, 0).Kept; len(got) != batchSize {
			b.Fatalf("%d entries are left", len(got))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/message")
}

// Records that differ in their headers alone are not the same.
func TestHeadersCountInALandmark(t *testing.T) {
	mark := func(fields ...domain.Field) domain.Fingerprint {
		v := surveyor{ordered: true, last: 1}
		return v.foreign(&domain.Entry{Body: []byte("x"), Header: fields})
	}
	a, b := domain.Field{Name: "a", Value: "1"}, domain.Field{Name: "b", Value: "2"}
	if mark(a, b) != mark(b, a) {
		t.Error("the order of headers counts")
	}
	seen := make(map[domain.Fingerprint]bool)
	for _, m := range []domain.Fingerprint{mark(), mark(a), mark(b), mark(a, b), mark(domain.Field{Name: "a", Value: "2"}), mark(domain.Field{Name: "a1"})} {
		if seen[m] {
			t.Error("two sets of headers have one landmark")
		}
		seen[m] = true
	}
}
