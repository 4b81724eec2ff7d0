package transport

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Lags returns for each topic that is followed how far its subscriptions are behind:
// for how long something has been on the bus that one of them has not handed over with
// an ack, or how long it has had no feed. It is 0 for a topic that is not behind. A log's
// tail is asked for once in a second, so a lag is known to a second. Lags says what
// [Transport.Run] saw last. It is empty while the bus is down, and without Run. The map
// is the caller's.
func (t *Transport) Lags() map[string]time.Duration {
	if lags := t.lags.Load(); lags != nil {
		return maps.Clone(*lags)
	}
	return nil
}

// maxMarks is how many tails a subscription that is behind keeps. If there are more, one
// of those that are closest to each other is forgotten: so its lag is known to a few
// hundredths of the longest that it was, however long that is.
const maxMarks = 64

// lags returns what [Transport.Lags] returns.
func (m *lagMonitor) lags() map[string]time.Duration {
	if m.answersSince.IsZero() {
		clear(m.marks)
		return nil
	}
	now, all := time.Now(), make(map[string]time.Duration)
	marks := make(map[*subscription][]tail)
	for _, s := range m.t.subscriptions() {
		delivered, noFeedSince := s.snapshot()
		left := undelivered(addMark(m.marks[s], m.tails[s.topic]), delivered)
		marks[s] = left
		lag := time.Duration(0)
		if len(left) > 0 {
			lag = now.Sub(left[0].seen)
		}
		if !noFeedSince.IsZero() {
			lag = max(lag, now.Sub(laterOf(noFeedSince, m.answersSince)))
		}
		all[s.topic] = max(all[s.topic], lag)
	}
	m.marks = marks // the subscriptions that have ended are forgotten
	return all
}

// addMark adds the newest of a topic's tails to the marks of a subscription, if it is not
// among them.
func addMark(marks, tails []tail) []tail {
	if len(tails) == 0 {
		return marks
	}
	newest := tails[len(tails)-1]
	if n := len(marks); n > 0 {
		switch last := marks[n-1]; {
		case newest.at < last.at: // the log has begun anew, or its end was taken back
			marks = nil
		case newest.at == last.at:
			return marks
		}
	}
	if marks = append(marks, newest); len(marks) > maxMarks {
		marks = thinned(marks)
	}
	return marks
}

// thinned returns the marks without the one whose neighbours are closest to each other
// in time. There are at least three.
func thinned(marks []tail) []tail {
	closest, span := 0, time.Duration(math.MaxInt64)
	for i := 1; i < len(marks)-1; i++ {
		if d := marks[i+1].seen.Sub(marks[i-1].seen); d < span {
			closest, span = i, d
		}
	}
	return slices.Delete(marks, closest, closest+1)
}

// undelivered returns the marks beyond a position.
func undelivered(marks []tail, delivered domain.Position) []tail {
	for len(marks) > 0 && marks[0].at <= delivered {
		marks = marks[1:]
	}
	return marks
}

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
