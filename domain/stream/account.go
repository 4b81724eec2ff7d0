package stream

// What a stream keeps grows with what the bus carries, so all of it is charged
// to the node's budget: entries with what finds them, the ids that dedupe
// remembers, fingerprints, and frames that are kept for sessions that catch up.
// It is charged with what it takes of the heap. Sessions are not charged: other
// limits bound them.

const wordSize = 8

// settleAccount charges the budget for what the stream takes now.
func (s *Stream) settleAccount() {
	now := int64(s.history.Size() + s.dedupe.Size() + s.frames.size)
	if now != s.stats.Bytes {
		s.cfg.Budget.add(int(now - s.stats.Bytes))
		s.stats.Bytes = now
	}
}
