package jetstream

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzDelivery checks that what is read from a subject says the same when it is written
// again, and that no subject makes the parser panic.
func FuzzDelivery(f *testing.F) {
	f.Add("$JS.ACK.S.C.1.2.3.4.5", "S", uint64(2))
	f.Add("$JS.ACK.hub.A.S.C.1.2.3.4.5.x", "a=2Eb", uint64(1))
	f.Add("$JS.ACK.......", "", uint64(0))
	f.Fuzz(func(t *testing.T, subject, stream string, seq uint64) {
		if d, ok := parseDelivery(subject); ok && (d.streamSeq == 0 || d.consumerSeq == 0) {
			t.Fatalf("%q became %+v", subject, d)
		}
		if strings.Contains(stream, ".") || seq == 0 {
			return
		}
		for _, written := range []string{
			fmt.Sprintf("$JS.ACK.%s.c.1.%d.7.9.0", stream, seq),
			fmt.Sprintf("$JS.ACK._.acc.%s.c.1.%d.7.9.0", stream, seq),
			fmt.Sprintf("$JS.ACK._.acc.%s.c.1.%d.7.9.0.random", stream, seq),
		} {
			d, ok := parseDelivery(written)
			if !ok || d.streamSeq != seq || d.consumerSeq != 7 || d.time.UnixNano() != 9 {
				t.Fatalf("%q became %+v, %v", written, d, ok)
			}
		}
	})
}

// FuzzStreamName checks that names of streams are valid, and that no two topics have the
// same.
func FuzzStreamName(f *testing.F) {
	f.Add("fanfare.orders_inbound", "fanfare.orders.inbound")
	f.Add("a=2Eb", "a.b")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && streamName(a) == streamName(b) {
			t.Fatalf("%q and %q are both %q", a, b, streamName(a))
		}
		if strings.ContainsAny(streamName(a), ". *>/\\\t\r\n") {
			t.Fatalf("%q became %q", a, streamName(a))
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add(uint64(1), uint64(256))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		if got, err := parsePosition(position(a)); err != nil || got != a {
			t.Fatalf("%d became %d, %v", a, got, err)
		}
		if (position(a) < position(b)) != (a < b) {
			t.Fatalf("%d and %d are out of order", a, b)
		}
	})
}
