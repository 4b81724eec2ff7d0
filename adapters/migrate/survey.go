package migrate

import (
	"context"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// A survey finds out how far a topic has been copied, for one call of Prove or
// CutOver.
type survey struct {
	from, to *transport.Transport
	topic    string
	probe    string // the id of the probe that this survey publishes

	begun    bool
	old      domain.LogID    // the log that is copied
	oldTail  domain.Location // the old log's tail after the probe was published; zero before that
	lastCopy domain.Position // in the old log: the origin of the newest copy
	// lastCopyThen is what lastCopy was when the probe was published.
	lastCopyThen domain.Position
	readUpTo     domain.Position // in the new log

	probeCopied bool // the probe's copy is on the new bus
	moved       bool // the new bus has taken over
	otherRecord bool // the new bus holds a record that was not copied from the old log
}

func (s *survey) begin(ctx context.Context) error {
	tail, err := s.from.Tail(ctx, s.topic)
	s.old, s.begun = tail.Log, err == nil
	return err
}

// publishProbe puts the probe on the old bus. After an error it may be called
// again; the probe keeps its id.
func (s *survey) publishProbe(ctx context.Context) error {
	if err := s.from.PublishContext(ctx, s.topic, provenance.NewProbe(s.probe)); err != nil {
		return err
	}
	tail, err := s.from.Tail(ctx, s.topic)
	if err != nil {
		return err
	}
	s.old, s.oldTail, s.lastCopyThen = tail.Log, tail, s.lastCopy
	return nil
}

// proven reports whether something was copied that was published no earlier than
// the probe. That is the probe itself or, if the old bus trimmed the probe before
// the Bridge read it, an entry after it.
func (s *survey) proven() bool { return s.probeCopied || s.lastCopy >= s.oldTail.Position }

// explain says for the operator why there is no proof.
func (s *survey) explain(ctx context.Context) string {
	switch {
	case s.oldTail.Log == 0:
		return "the buses did not answer in time"
	case s.oldHasCutoverMark(ctx):
		return "the mark is on the old bus since an earlier try, and its copy does not come; " +
			"start the bridge, nodes wait for it"
	case s.lastCopy > s.lastCopyThen:
		return "copies come, but they do not get to the end of the old bus; " +
			"the bridge is behind, wait longer"
	}
	return "nothing was copied from the old bus to the new one meanwhile; " +
		"does `fanfare bridge` run, from and to these buses, for this system?"
}

// cutoverMarkTimeout is how long the old bus is searched for a mark.
const cutoverMarkTimeout = 2 * time.Second

// oldHasCutoverMark reports whether a mark is among the entries of the old log that
// have not been copied. If the log cannot be read, it reports false. It works
// after ctx has ended.
func (s *survey) oldHasCutoverMark(ctx context.Context) (found bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutoverMarkTimeout)
	defer cancel()
	isCutoverMark := func(e domain.Entry) bool { return e.Kind == domain.MovedAway }
	_, _ = s.from.Scan(ctx, s.topic, s.lastCopy, time.Time{}, func(batch []domain.Entry) bool {
		found = slices.ContainsFunc(batch, isCutoverMark)
		return !found
	})
	return found
}

// readNew reads what has come to the new bus since the last call. If there is a
// record that is no copy from the old log, and the new bus has not taken over, it
// returns ErrNotACopy.
func (s *survey) readNew(ctx context.Context) error {
	last, err := s.to.Scan(ctx, s.topic, s.readUpTo, time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			s.observe(&batch[i])
		}
		return true
	})
	s.readUpTo = last.Position
	if err == nil && s.otherRecord && !s.moved {
		return ErrNotACopy
	}
	return err
}

// observe takes an entry of the new bus into account.
func (s *survey) observe(e *domain.Entry) {
	s.moved = s.moved || showsMove(e)
	if !isCopy(e, s.old) {
		s.otherRecord = s.otherRecord || e.Kind == domain.Record
		return
	}
	s.lastCopy = max(s.lastCopy, e.Origins[0].Position)
	s.probeCopied = s.probeCopied || e.UUID == s.probe
}
