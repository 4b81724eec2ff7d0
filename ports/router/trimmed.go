package router

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Trimmed reports whether a system's log does not hold all that it ever held.
//
// Errors: those of [stream.Hub.Acquire], [domain.ErrUnsupported] if the bus keeps no log,
// and those of reading it.
func (r *Reader) Trimmed(ctx context.Context, system domain.System) (bool, error) {
	if r.cfg.Rewinder == nil {
		return false, fmt.Errorf("system %s: the bus keeps no log: %w", system, domain.ErrUnsupported)
	}
	head, err := r.Cursor(ctx, system, "")
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.SearchTimeout)
	defer cancel()
	at, _, err := r.from(ctx, r.router.topics.Topic(system), head, time.Unix(0, 0))
	if err != nil {
		return false, err
	}
	return strings.Trim(string(at.Position), "\x00") != "", nil
}
