package history

import "time"

// A logClock measures the time that lies between entries by the times that the
// log has for them: a stream that begins in the past receives the entries of
// minutes at once. It does not go back. The zero logClock is ready.
//
// The log's times may be another machine's, and may be wrong. They count only
// as far as they move on and are not ahead of this node's clock. Where they
// stand still, this node's own time goes on.
type logClock struct {
	latest   time.Time // what the clock says
	highest  time.Time // latest time of an entry
	received time.Time // when the latest entry came, by this node's clock
}

// at returns what the clock says when an entry with the log's time t is
// received at now.
func (c *logClock) at(t, now time.Time) time.Time {
	switch {
	case t.After(c.highest):
		c.highest = t
		if c.latest.Before(t) {
			c.latest = t
		}
	case !c.received.IsZero():
		c.latest = c.latest.Add(max(0, now.Sub(c.received)))
	}
	if c.latest.After(now) { // the log's clock is ahead, or this node's was set back
		c.latest = now.Round(0)
		c.highest = c.latest
	}
	c.received = now
	return c.latest
}

// Plausible reports whether a log can have taken something at a time. Kafka
// says -1 where there is none, and whoever writes to Redis may choose any; nor
// could times beyond the year 9998 be written to clients.
func Plausible(t time.Time) bool { return t.Unix() > 0 && t.Year() <= 9998 }
