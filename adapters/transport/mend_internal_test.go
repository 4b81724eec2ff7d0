package transport

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

// BenchmarkMend takes the stamps of three publishers off batches of 128 B
// messages, and makes their landmarks.
func BenchmarkMend(b *testing.B) {
	starts := []startID{newStartID(), newStartID(), newStartID()}
	body := fmt.Appendf(nil, `{"to":"user:alice","data":"%0100d"}`, 0)
	s := &subscription{t: &Transport{}, survey: surveyor{ordered: true}}
	batch := make([]domain.Entry, BatchSize)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			n++
			batch[i].Body = appendStamped(batch[i].Body[:0], stamp{starts[n%3], n/3 + 1}, body)
		}
		if got := s.mend(batch); len(got) != BatchSize {
			b.Fatalf("%d entries are left", len(got))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*BatchSize), "ns/message")
}
