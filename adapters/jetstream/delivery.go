package jetstream

import (
	"math"
	"strings"
	"time"
)

// A deliveryInfo is what a consumer says about a message that it delivers. It stands in
// the message's reply subject ([ADR-15], "JS Ack"), of which there are two versions:
//
//	$JS.ACK.<stream>.<consumer>.<times>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<…the same…>[.<anything>]
//
// [ADR-15]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-15.md
type deliveryInfo struct {
	streamSeq   uint64    // of the message in the stream
	consumerSeq uint64    // of the delivery: the consumer counts them from 1
	time        time.Time // when the stream stored the message
}

const ackPrefix = "$JS.ACK."

// parseDelivery reads a reply subject; ok is false if it is not that of a delivery.
func parseDelivery(subject string) (d deliveryInfo, ok bool) {
	rest, ok := strings.CutPrefix(subject, ackPrefix)
	if !ok {
		return d, false
	}
	skip := 3 // stream, consumer, times
	switch n := strings.Count(rest, "."); {
	case n >= 8: // version 2
		skip = 5
	case n != 6:
		return d, false
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var numbers [3]uint64
	for i := range numbers {
		var digits string
		digits, rest, _ = strings.Cut(rest, ".")
		if numbers[i], ok = parseUint(digits); !ok {
			return d, false
		}
	}
	if numbers[0] == 0 || numbers[1] == 0 || numbers[2] > math.MaxInt64 {
		return d, false
	}
	stored := time.Unix(0, int64(numbers[2])).UTC()
	return deliveryInfo{streamSeq: numbers[0], consumerSeq: numbers[1], time: stored}, true
}

// parseUint reads a decimal number of digits only.
func parseUint(digits string) (n uint64, ok bool) {
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' || n > (math.MaxUint64-uint64(d-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, digits != ""
}
