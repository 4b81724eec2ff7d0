package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// inspectEvery is how often a topic's settings are asked for, and mendEvery
	// how often those that cannot be used.
	inspectEvery         = time.Minute
	recheckUnusableEvery = 2 * time.Second
	// shortAge is what a log should keep at least: the default of dedupe.age.
	shortAge = 2 * time.Minute
	// usualSize is how large a batch may be if nobody has set anything.
	usualSize = 1 << 20
)

// A verdict is what was said about a topic's settings.
type verdict struct {
	id  [16]byte // of the topic
	at  time.Time
	err error // why it cannot be used
}

func (v verdict) fresh() bool {
	if v.err != nil {
		return time.Since(v.at) < recheckUnusableEvery
	}
	return time.Since(v.at) < inspectEvery
}

// inspect looks at a topic's settings, where that was not done a moment ago, and
// says why it cannot be used. Who may not see them (DescribeConfigs) uses it as
// it is.
func (d *Driver) inspect(ctx context.Context, t topic) error {
	d.mu.Lock()
	v, ok := d.verdicts[t.name]
	d.mu.Unlock()
	if ok && v.id == t.id && v.fresh() {
		return v.err
	}
	v = verdict{id: t.id, at: time.Now()}
	switch settings, err := d.settings(ctx, t.name); {
	case ctx.Err() != nil:
		return nil // next time
	case err != nil:
		d.log.Debug("a topic's settings cannot be seen", "topic", t.name, "error", err)
	default:
		faults := settingFaults(t, settings, d.server.allAcks)
		d.inspector.Inspect(t.name, t.name, faults)
		v.err = unusableError(faults)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.err != nil {
		delete(d.topics, t.name) // who publishes looks again, and is told
	}
	if len(d.verdicts) >= maxTopics {
		clear(d.verdicts)
	}
	d.verdicts[t.name] = v
	return v.err
}

// forgetVerdict makes the next one who looks for a topic ask for its settings.
func (d *Driver) forgetVerdict(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.topics, name)
	delete(d.verdicts, name)
}

// settings asks for a topic's settings.
func (d *Driver) settings(ctx context.Context, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.server.replyTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeConfigsRequest()
	asked := kmsg.NewDescribeConfigsRequestResource()
	asked.ResourceType, asked.ResourceName = kmsg.ConfigResourceTypeTopic, name
	req.Resources = append(req.Resources, asked)
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return nil, err
	}
	if len(resp.Resources) != 1 {
		return nil, errUnexpectedAnswer
	}
	if err := kerr.ErrorForCode(resp.Resources[0].ErrorCode); err != nil {
		return nil, err
	}
	settings := make(map[string]string)
	for _, c := range resp.Resources[0].Configs {
		if c.Value != nil {
			settings[c.Name] = *c.Value
		}
	}
	return settings, nil
}

// settingFaults says what follows from a topic's settings, the worst first.
func settingFaults(t topic, settings map[string]string, all bool) (faults []transport.Fault) {
	add := func(level slog.Level, format string, args ...any) {
		faults = append(faults, transport.Fault{Level: level, Text: fmt.Sprintf(format, args...)})
	}
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		return n, err == nil
	}
	if strings.Contains(settings["cleanup.policy"], "compact") {
		add(slog.LevelError, "cleanup.policy=%s: compaction removes records, and nobody can be told which; "+
			"and it refuses records without a key, as Fanfare's are. Want delete", settings["cleanup.policy"])
	}
	least, ok := number("min.insync.replicas")
	switch {
	case ok && all && t.copies > 0 && least > int64(t.copies):
		add(slog.LevelWarn, "min.insync.replicas=%d, and it is on %d brokers: every publish is refused", least, t.copies)
	case ok && all && t.copies > 1 && least == 1:
		add(slog.LevelWarn, "min.insync.replicas=1: when the other brokers lag, what one alone has is confirmed, "+
			"and is lost with it; want 2")
	}
	if settings["unclean.leader.election.enable"] == "true" {
		add(slog.LevelWarn, "unclean.leader.election.enable: a broker that lags may become the leader, and what was confirmed is lost then")
	}
	if settings["message.timestamp.type"] == "CreateTime" {
		add(slog.LevelWarn, "message.timestamp.type=CreateTime: records have their producers' times; those that cannot be are "+
			"set right where they are read, but what a node reads when it starts is only as right as those clocks are. Want LogAppendTime")
	}
	if n, ok := number("retention.ms"); ok && n >= 0 && time.Duration(n) < shortAge/time.Millisecond {
		add(slog.LevelWarn, "retention.ms=%d: a node that has just started does not know older records, and delivers "+
			"their repetitions; and sessions that were away for longer are told a gap", n)
	}
	if n, ok := number("max.message.bytes"); ok && n < usualSize {
		add(slog.LevelInfo, "max.message.bytes=%d: larger messages are refused with 413", n)
	}
	return faults
}

// unusableError returns why a topic with such faults cannot be used, nil if it can.
func unusableError(faults []transport.Fault) error {
	var why []string
	for _, f := range faults {
		if f.Level >= slog.LevelError {
			why = append(why, f.Text)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", domain.ErrUnsupported, strings.Join(why, "; "))
}
