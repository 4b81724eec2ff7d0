package sequence

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

// batchSize is how many entries a transport reads at once.
const batchSize = 256

// BenchmarkCheck takes the numbers of three publishers out of batches of 128 B
// messages, and makes their fingerprints.
func BenchmarkCheck(b *testing.B) {
	publishers := []publisherID{newPublisherID(), newPublisherID(), newPublisherID()}
	body := fmt.Appendf(nil, `{"to":"user:alice","data":"%0100d"}`, 0)
	s := NewChecker(true)
	batch := make([]domain.Entry, batchSize)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			n++
			batch[i].Body = appendNumbered(batch[i].Body[:0], number{publishers[n%3], n/3 + 1}, body)
		}
		if got := s.Check(batch, 0).Kept; len(got) != batchSize {
			b.Fatalf("%d entries are left", len(got))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/message")
}

// Records that differ in their headers alone are not the same.
func TestHeadersCountInAFingerprint(t *testing.T) {
	fingerprint := func(fields ...domain.Field) domain.Fingerprint {
		v := fingerprinter{ordered: true, last: 1}
		return v.ofUnnumbered(&domain.Entry{Body: []byte("x"), Header: fields})
	}
	a, b := domain.Field{Name: "a", Value: "1"}, domain.Field{Name: "b", Value: "2"}
	if fingerprint(a, b) != fingerprint(b, a) {
		t.Error("the order of headers counts")
	}
	seen := make(map[domain.Fingerprint]bool)
	for _, m := range []domain.Fingerprint{fingerprint(), fingerprint(a), fingerprint(b), fingerprint(a, b), fingerprint(domain.Field{Name: "a", Value: "2"}), fingerprint(domain.Field{Name: "a1"})} {
		if seen[m] {
			t.Error("two sets of headers have one fingerprint")
		}
		seen[m] = true
	}
}
