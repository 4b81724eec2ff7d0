package redisstream

import "time"

// proveInterval is how often a stream without new entries is proven to be the same
// one as before.
const proveInterval = time.Second

// prove proves the reads of a round, as feed.prove does for one feed. It first asks
// whether the entries that were last before the read still exist, and then for the
// infos of those streams for which that is not enough.
func (s *sharedReader) prove() error {
	now := time.Now()
	if err := s.checkLastEntries(now); err != nil {
		return err
	}
	err := s.checkInfos(now)
	for i := range s.reads {
		if r := &s.reads[i]; r.isDue(now) {
			r.feed.lastProven = now
		}
	}
	return err
}

// isDue reports whether a read must be proven in this round. A read without entries
// needs a proof only now and then, because the stream may have been created anew;
// and at once while the ordinal is not known.
func (r *streamRead) isDue(now time.Time) bool {
	f := r.feed
	return r.err == nil &&
		(len(r.batch) > 0 || f.progress.ordinal < 0 || now.Sub(f.lastProven) >= proveInterval)
}

// checkLastEntries asks for the entries that were last before the reads.
func (s *sharedReader) checkLastEntries(now time.Time) error {
	due := func(r *streamRead) bool { return r.isDue(now) }
	return s.askAbout(due, func(r *streamRead) {
		last := r.feed.progress.last.String()
		s.conn.Queue("XRANGE", r.feed.topic, last, last, "COUNT", "1")
	}, func(r *streamRead) (err error) {
		r.exists, err = readExists(s.conn)
		return err
	})
}

// checkInfos asks for the infos of the streams whose reads are not proven yet.
func (s *sharedReader) checkInfos(now time.Time) error {
	unproven := func(r *streamRead) bool {
		return r.isDue(now) && !r.feed.progress.isProven(r.exists, len(r.batch))
	}
	return s.askAbout(unproven, func(r *streamRead) {
		s.conn.Queue("XINFO", "STREAM", r.feed.topic)
	}, func(r *streamRead) error {
		info, err := readInfo(s.conn)
		if err == nil {
			r.err = r.feed.progress.verify(info, r.exists, len(r.batch))
		}
		return err
	})
}

// askAbout asks a question about each read that choose picks, all in one round
// trip. queue queues the question, and readReply reads the reply to it. An error
// reply ends the feed that it is about, and no other.
func (s *sharedReader) askAbout(
	choose func(*streamRead) bool, queue func(*streamRead), readReply func(*streamRead) error,
) error {
	var asked []*streamRead
	for i := range s.reads {
		if r := &s.reads[i]; choose(r) {
			queue(r)
			asked = append(asked, r)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	if err := s.flushAndWait(s.replyTimeout); err != nil {
		return err
	}
	for _, r := range asked {
		err := readReply(r)
		if isErrorReply(err) {
			r.err = err
		} else if err != nil {
			return err
		}
	}
	return nil
}
