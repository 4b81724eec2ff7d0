package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logAppendTime is the type of a timestamp that the broker has made.
const logAppendTime = 1

// arrivalTimes estimates when a feed's records came into the log. Where the topic says
// CreateTime, a record's timestamp is what its producer says, which may be any time: one
// that is years ahead would keep a message fresh for ever, and one that is late would make
// it expire before anybody saw it. Such a timestamp is believed within these bounds: the
// record came no earlier than the one before it, no earlier than when the feed last saw
// the log end in front of it, and no later than now.
type arrivalTimes struct {
	newest  time.Time // of the records so far
	emptyAt time.Time // when the feed last saw that no record follows
}

// set corrects the timestamps of fetched records.
func (a *arrivalTimes) set(got fetched, now time.Time) {
	for _, r := range got.records {
		known := true
		if r.Attrs.TimestampType() != logAppendTime {
			r.Timestamp, known = a.estimate(r, now)
		}
		if known && r.Timestamp.After(a.newest) {
			a.newest = r.Timestamp
		}
	}
	if got.next >= got.stable {
		a.emptyAt = now
	}
}

// estimate returns about when a record came. If nothing is known about that, it returns
// now, and known is false: the time must not bound those of the records after it.
func (a *arrivalTimes) estimate(r *kgo.Record, now time.Time) (t time.Time, known bool) {
	earliest := a.newest
	if a.emptyAt.After(earliest) {
		earliest = a.emptyAt
	}
	switch t := r.Timestamp; {
	case t.UnixMilli() > 0 && !t.After(now) && !t.Before(earliest):
		return t, true
	case earliest.IsZero():
		return now, false // too late is better than expired
	default:
		return earliest, true
	}
}
