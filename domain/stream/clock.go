package stream

import "time"

// A clock tells how much time lies between entries, by the times that the log
// has for them: a stream that begins in the past hears a long time at once. It
// does not go back. The zero clock is ready.
//
// The log's times may be another machine's, and anything: they count as far as
// they move on and are not ahead of this node's clock. Where they stand still,
// this node's own time goes on.
type clock struct {
	latest  time.Time // what it says
	highest time.Time // latest time of an entry
	heard   time.Time // when that was, by this node's clock
}

// at is what the clock says when an entry with the log's time t is heard.
func (c *clock) at(t, now time.Time) time.Time {
	switch {
	case t.After(c.highest):
		c.highest = t
		if c.latest.Before(t) {
			c.latest = t
		}
	case !c.heard.IsZero():
		c.latest = c.latest.Add(max(0, now.Sub(c.heard)))
	}
	if c.latest.After(now) { // the log's clock is ahead, or this node's was set back
		c.latest = now.Round(0)
		c.highest = c.latest
	}
	c.heard = now
	return c.latest
}

// plausible says whether a log can have taken something at a time: Kafka has -1
// where there is none, and whoever writes to Redis may choose any. (Nor could
// times of other years be written to clients.)
func plausible(t time.Time) bool { return t.Unix() > 0 && t.Year() <= 9998 }

// expired says whether the entry's message is past its ttl, which few have.
func (e *entry) expired(now time.Time) bool {
	return e.msg.TTL > 0 && e.msg.Expired(e.logged(), now)
}

// logged is since when a ttl counts: the entry's time, but not one that was yet
// to come when the entry was heard.
func (e *entry) logged() time.Time {
	if e.Time.After(e.added) {
		return e.added
	}
	return e.Time
}
