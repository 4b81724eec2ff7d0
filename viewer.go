package fanfare

import (
	"context"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A viewer lets operators look at what the node reads. It is an [api.Viewer].
type viewer struct{ hub *stream.Hub }

// View shows a system from now on, and keeps it open until stop.
func (v viewer) View(
	ctx context.Context, system domain.System, show func(*stream.Seen),
) (stop func(), err error) {
	lease, err := v.hub.Acquire(ctx, "", system)
	if err != nil {
		return nil, err
	}
	remove := lease.Tap(show)
	return func() {
		remove()
		lease.Release()
	}, nil
}
