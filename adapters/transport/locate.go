package transport

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// Locate finds where places of other logs are in the topic's, which holds
// copies of what they held. Wanted is in the order of logs and positions, each
// once. It looks at what the log holds from the time from on, at most entries
// of it, in one reading.
//
// Found has a place for each one wanted: everything that was copied of what is
// at or before the one wanted is at or before it, and everything else that was
// copied behind it. It is zero where no copies prove that. Looked is how many
// entries it has looked at: fewer than most if the log has no more, or all places
// were settled. Errors are Scan's.
func (t *Transport) Locate(ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int) (found []domain.Location, looked int, err error) {
	l := provenance.NewLocator(wanted)
	at, err := t.Scan(ctx, topic, "", from, func(batch []domain.Entry) bool {
		for i := range batch {
			l.Look(&batch[i])
		}
		looked += len(batch)
		return l.Open > 0 && looked < most
	})
	if err != nil {
		return nil, looked, fmt.Errorf("transport: locate in %q: %w", topic, err)
	}
	for i := range l.Found {
		if l.Found[i].Position != "" {
			l.Found[i].Log = at.Log
		}
	}
	return l.Found, looked, nil
}

// Origins returns the logs of which the topic's log holds copies that Locate
// would find, each once, as far as its oldest entries say, most of them: copies
// come first on a new bus. It returns at most 64, and how many entries it has
// looked at. Errors are Scan's; with one it returns what it has come to.
func (t *Transport) Origins(ctx context.Context, topic string, most int) (logs []domain.LogID, looked int, err error) {
	_, err = t.Scan(ctx, topic, "", time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			if batch[i].Late {
				continue
			}
			for _, p := range batch[i].Origins {
				if len(logs) < provenance.MaxOriginals && !slices.Contains(logs, p.Log) {
					logs = append(logs, p.Log)
				}
			}
		}
		looked += len(batch)
		return looked < most
	})
	if err != nil {
		return logs, looked, fmt.Errorf("transport: origins in %q: %w", topic, err)
	}
	return logs, looked, nil
}
