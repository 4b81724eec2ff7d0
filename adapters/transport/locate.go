package transport

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// Locate finds locations of other logs in the topic's log, which holds copies of
// what they held; see [provenance.Locator]. Wanted is in the order of logs and
// positions, each once. Locate reads what the log holds from the time from on, in
// one reading, and stops after about most entries.
//
// For each location wanted, found has one such that everything that was copied
// from at or before the location wanted is at or before the one found, and
// everything else that was copied is behind it. The location found is zero where
// no copies prove that.
//
// Looked is how many entries were read: fewer than most if the log has no more,
// or if all locations were settled. Errors are as in [Transport.Scan].
func (t *Transport) Locate(
	ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int,
) (found []domain.Location, looked int, err error) {
	l := provenance.NewLocator(wanted)
	at, err := t.Scan(ctx, topic, "", from, func(batch []domain.Entry) bool {
		for i := range batch {
			l.Take(&batch[i])
		}
		looked += len(batch)
		return !l.Done() && looked < most
	})
	if err != nil {
		return nil, looked, fmt.Errorf("transport: locate in %q: %w", topic, err)
	}
	return l.Found(at.Log), looked, nil
}

// Origins returns the logs of which the topic's log holds copies that Locate
// would find, each once and at most [provenance.MaxLogs], as far as the log's
// oldest entries say: on a new bus copies come first. It reads about most
// entries, and returns how many it has read. Errors are as in [Transport.Scan];
// with an error it returns what it has found so far.
func (t *Transport) Origins(
	ctx context.Context, topic string, most int,
) (logs []domain.LogID, looked int, err error) {
	_, err = t.Scan(ctx, topic, "", time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			if batch[i].Late {
				continue
			}
			for _, origin := range batch[i].Origins {
				if len(logs) < provenance.MaxLogs && !slices.Contains(logs, origin.Log) {
					logs = append(logs, origin.Log)
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
