package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// appended is the type of a timestamp that the broker has made (LogAppendTime).
const logAppendTime = 1

// A clock finds out when a feed's records came into the log. Where the topic
// says CreateTime, a record's time is what its producer says, which may be any:
// a clock that is years ahead would make messages fresh for ever, and one that is
// late would make them expire before anybody saw them. Such a time is believed
// as far as it can be true: no record came before the one that it follows, none
// before the feed last saw the log end in front of it, and none comes tomorrow.
type clock struct {
	newest  time.Time // of the records so far
	emptyAt time.Time // when there was nothing behind them
}

// setTimes gives the records of a haul their times, as of now.
func (c *clock) setTimes(got fetched, now time.Time) {
	for _, r := range got.records {
		known := true
		if r.Attrs.TimestampType() != logAppendTime {
			r.Timestamp, known = c.arrival(r, now)
		}
		if known && r.Timestamp.After(c.newest) {
			c.newest = r.Timestamp
		}
	}
	if got.next >= got.stable {
		c.emptyAt = now
	}
}

// arrival is about the time at which a record came. If that is not known at all it
// is now, which says nothing about the records behind it.
func (c *clock) arrival(r *kgo.Record, now time.Time) (t time.Time, known bool) {
	earliest := c.newest
	if c.emptyAt.After(earliest) {
		earliest = c.emptyAt
	}
	switch t := r.Timestamp; {
	case t.UnixMilli() > 0 && !t.After(now) && !t.Before(earliest):
		return t, true
	case earliest.IsZero():
		return now, false // rather late than expired
	default:
		return earliest, true
	}
}
