package fanfare

import (
	"context"
	"log/slog"

	"github.com/fanfarebus/fanfare/domain"
)

// A loggedPublisher logs at the level debug what is published: system, ids, targets, and the
// cursor of the last message; never data.
type loggedPublisher struct {
	domain.Publisher
	log *slog.Logger
}

// Publish publishes as the Publisher in it does.
func (p loggedPublisher) Publish(
	ctx context.Context, system domain.System, msgs ...*domain.Message,
) (domain.Cursor, error) {
	at, err := p.Publisher.Publish(ctx, system, msgs...)
	if !p.log.Enabled(ctx, slog.LevelDebug) {
		return at, err
	}
	some := msgs[:min(len(msgs), loggedMessages)]
	ids, to := make([]string, len(some)), make([]string, 0, len(some))
	for i, m := range some {
		ids[i] = m.ID
		for _, t := range m.To[:min(len(m.To), loggedMessages)] {
			to = append(to, t.String())
		}
	}
	logPublish(ctx, p.log, system.String(), len(msgs), ids, to, at.String(), err)
	return at, err
}

// loggedMessages is of how many messages of a publish the log has the ids and targets, and how
// many targets of each.
const loggedMessages = 10

func logPublish(
	ctx context.Context, log *slog.Logger, system string, n int, ids, to []string, cursor string, err error,
) {
	attrs := []slog.Attr{
		slog.String("system", system), slog.Int("messages", n), slog.Any("ids", ids),
		slog.Any("to", to[:min(len(to), loggedMessages)]),
	}
	if err != nil {
		log.LogAttrs(ctx, slog.LevelDebug, "messages were not published", append(attrs, slog.Any("error", err))...)
		return
	}
	if cursor != "" {
		attrs = append(attrs, slog.String("cursor", cursor))
	}
	log.LogAttrs(ctx, slog.LevelDebug, "messages were published", attrs...)
}
