package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare"
)

// A look is what the flags of `fanfare inbound` say.
type look struct {
	systems []string
	group   string
	events  bool // instead of what clients send
	json    bool // print all of it, as a line of JSON
	count   int  // end after so many; 0: never
}

func (a *app) inbound() *cobra.Command {
	var l look
	cmd := withSettings(&cobra.Command{
		Use:   "inbound",
		Short: "Print what clients send to a system, or events about its users",
		Long: `Prints what clients send to a system's service from now on, one line each. Looking takes nothing away
from services. With --group it is a member of that consumer group instead: it begins with the oldest that
the group has not had, and what it prints no other member gets.`,
		Example: `  fanfare inbound --transport redis-streams://localhost:6379/0 --system chat
  fanfare inbound --config fanfare.yaml --system chat --json
  fanfare inbound --config fanfare.yaml --system chat --events`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(l.systems) == 0 {
				return errors.New("want --system NAME")
			}
			if l.count < 0 {
				return fmt.Errorf("--count: %d: want 0 or more", l.count)
			}
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			if err := otherProcess(s.Config.Transport); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			from, err := fanfare.NewSubscriber(ctx, s.Config.Transport, l.group,
				fanfare.WithTopic(s.Config.Topic), fanfare.WithLogger(logger(a.err, s.Config.Log)))
			if err != nil {
				return err
			}
			return failed(errors.Join(a.look(ctx, from, l), from.Close()))
		},
	}, "transport", "topic", "log.level", "log.format")
	f := cmd.Flags()
	f.StringSliceVar(&l.systems, "system", nil, "the system; may be there several times")
	f.StringVar(&l.group, "group", "", "consumer group to be a member of; empty: look without taking")
	f.BoolVar(&l.events, "events", false, "print events about users instead: who came and who went")
	f.BoolVar(&l.json, "json", false, "print all fields, a line of JSON each")
	f.IntVar(&l.count, "count", 0, "end after this many; 0: never")
	return cmd
}

// look prints until ctx ends or enough has come.
func (a *app) look(ctx context.Context, from *fanfare.Subscriber, l look) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var mu sync.Mutex // handlers of several users run at once
	printed := 0
	show := func(json []byte, words ...string) error {
		mu.Lock()
		defer mu.Unlock()
		if l.count > 0 && printed >= l.count {
			return context.Canceled // it was not printed, so it is not acked
		}
		line := strings.Join(words, " ")
		if l.json {
			line = string(json)
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
		if printed++; printed == l.count {
			end()
		}
		return nil
	}
	if l.events {
		return from.Events(ctx, func(_ context.Context, e *fanfare.Event) error {
			return show(e.CloudEvent(), clock(e.Time), e.System, e.Type, shownName(e.Subject))
		}, l.systems...)
	}
	return from.Inbound(ctx, func(_ context.Context, m *fanfare.InboundMessage) error {
		return show(m.JSON(), clock(m.Time), m.System, shownName(m.User), shownName(m.Type), shownData(m))
	}, l.systems...)
}

// clock shows when something happened, if that is known.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05.000")
}

// shownName shows a name so that it is one word; an empty one is "-".
func shownName(s string) string {
	switch {
	case s == "":
		return "-"
	case strings.ContainsAny(s, " \"\\"):
		return fmt.Sprintf("%q", s)
	}
	return s
}

// shownData shows data on one line: JSON as it is, text in quotes, and of bytes how many.
func shownData(m *fanfare.InboundMessage) string {
	switch text := string(m.Data); {
	case strings.HasPrefix(m.ContentType, "text/"):
		return fmt.Sprintf("%q", text)
	case m.ContentType == "application/json" || strings.HasSuffix(m.ContentType, "+json"):
		return text
	}
	return fmt.Sprintf("(%d bytes of %s)", len(m.Data), m.ContentType)
}
