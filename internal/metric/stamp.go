package metric

import "time"

// A Stamp is a time of this process, in the four bytes that a message can spare for
// it. It is exact to sixteen microseconds, and two of them tell the time between
// them if that is less than nine hours. The zero Stamp is none.
type Stamp uint32

const stampUnit = 1 << 14 // nanoseconds

var processStart = time.Now()

// StampOf returns the Stamp of a time. It is 0 only if t is zero.
func StampOf(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.Sub(processStart))
}

// Now returns the Stamp of now.
func Now() Stamp { return stamp(time.Since(processStart)) }

func stamp(d time.Duration) Stamp {
	s := Stamp(d / stampUnit)
	if s == 0 {
		s = 1
	}
	return s
}

// Since returns the time from an earlier Stamp to s. It is 0 if earlier is later.
func (s Stamp) Since(earlier Stamp) time.Duration {
	return max(time.Duration(int32(s-earlier)), 0) * stampUnit
}
