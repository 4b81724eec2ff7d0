package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// settle is between the two times that a change is read before it counts: somebody may just be
// writing a file, or changing several.
const settle = 500 * time.Millisecond

// A reloader looks at the files of settings again, and gives a node the settings of auth that
// have changed. What is read is compared, not when files were written: so it does not matter
// how they are replaced, as by the links that Kubernetes swaps.
type reloader struct {
	node    *fanfare.Node
	log     *slog.Logger
	hangup  <-chan os.Signal   // says that somebody wants the files to be read now
	initial *settings.Settings // what the node has begun with
	auth    *settings.Settings // whose settings of auth the node goes by
	refused *settings.Settings // what the node has refused; nil if nothing
	trouble string             // what was wrong the last time, for the log; "" if nothing was
	ignored string             // names of changed settings that need a restart, as logged last
}

func newReloader(
	node *fanfare.Node, s *settings.Settings, log *slog.Logger, hangup <-chan os.Signal,
) *reloader {
	return &reloader{node: node, log: log, hangup: hangup, initial: s, auth: s}
}

// hangups returns where the process is told of each SIGHUP, until stop is called. Without it
// a SIGHUP ends the process: so a node that begins, or drains, needs it as well as one that
// looks at its files.
func hangups() (hangup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// run looks at the files in each period and at each SIGHUP, until ctx ends.
func (r *reloader) run(ctx context.Context, period time.Duration) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.look(ctx)
		case <-r.hangup:
			if !r.look(ctx) && r.trouble == "" {
				r.log.Info("the settings of auth have not changed")
			}
		}
	}
}

// look reads the settings, and reports whether the node has been given new ones.
func (r *reloader) look(ctx context.Context) bool {
	now := r.read()
	if now == nil || !r.isNew(now) {
		return false
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return false
	}
	again := r.read()
	if again == nil || len(again.Changed(now)) > 0 {
		return false // the next look will find it
	}
	return r.apply(now)
}

// read reads the settings, and returns nil if that is not possible. It logs each trouble once.
func (r *reloader) read() *settings.Settings {
	s, err := r.initial.Reload()
	if err != nil {
		r.fail("the settings cannot be read again: those of before stay in effect", err)
		return nil
	}
	if r.refused == nil {
		r.trouble = ""
	}
	return s
}

func (r *reloader) fail(what string, err error) {
	if text := err.Error(); text != r.trouble {
		r.trouble = text
		r.log.Error(what, "error", err)
	}
}

// isNew reports whether the settings of auth are not those that the node has, or has refused
// before. Of other settings that have changed it logs that they need a restart.
func (r *reloader) isNew(s *settings.Settings) bool {
	_, others := split(s.Changed(r.initial))
	if names := strings.Join(others, " "); names != r.ignored {
		r.ignored = names
		if names != "" {
			r.log.Warn("settings have changed that need a restart to take effect", "settings", names)
		}
	}
	if mine, _ := split(s.Changed(r.auth)); len(mine) == 0 {
		r.refused, r.trouble = nil, ""
		return false
	}
	if r.refused == nil {
		return true
	}
	mine, _ := split(s.Changed(r.refused))
	return len(mine) > 0
}

// apply gives the settings to the node.
func (r *reloader) apply(s *settings.Settings) bool {
	changed, _ := split(s.Changed(r.auth))
	if err := r.node.SetAuth(s.Config.Auth); err != nil {
		r.refused = s
		r.fail("the new settings of auth are not taken: those of before stay in effect", err)
		return false
	}
	r.auth, r.refused, r.trouble = s, nil, ""
	r.log.Info("the settings of auth have changed, and are in effect",
		"settings", strings.Join(changed, " "))
	return true
}

// split divides names of settings into those that SetAuth takes and all others.
func split(keys []string) (auth, others []string) {
	for _, key := range keys {
		if strings.HasPrefix(key, "auth.") && key != "auth.reload" {
			auth = append(auth, key)
		} else {
			others = append(others, key)
		}
	}
	return auth, others
}
