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
	// inspectEvery is how often a topic's settings are asked for.
	inspectEvery = time.Minute
	// recheckUnusableEvery is how often the settings of an unusable topic are asked for.
	recheckUnusableEvery = 2 * time.Second
	// shortAge is how long a log should keep records at least: the default of dedupe.age.
	shortAge = 2 * time.Minute
	// usualSize is how large a batch may be by Kafka's default, in bytes.
	usualSize = 1 << 20
)

// A verdict is what a topic's settings were found to be.
type verdict struct {
	id  [16]byte // of the topic
	at  time.Time
	err error // why the topic is unusable; nil if it is usable
}

// fresh reports whether the settings need not be asked for yet.
func (v verdict) fresh() bool {
	if v.err != nil {
		return time.Since(v.at) < recheckUnusableEvery
	}
	return time.Since(v.at) < inspectEvery
}

// inspect checks a topic's settings, unless there is a fresh verdict, reports what it finds
// to the inspector, and returns an error if the topic is unusable. If the user has no right
// to see the settings (DescribeConfigs), the topic counts as usable.
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
		return nil // the next call will check
	case err != nil:
		d.log.Debug("a topic's settings cannot be seen", "topic", t.name, "error", err)
	default:
		faults := settingFaults(t, settings, d.cluster.allAcks)
		d.inspector.Inspect(t.name, t.name, faults)
		v.err = unusableError(faults)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.err != nil {
		delete(d.topics, t.name) // so that the next publish comes here, and fails
	}
	if len(d.verdicts) >= maxTopics {
		clear(d.verdicts)
	}
	d.verdicts[t.name] = v
	return v.err
}

// forgetVerdict makes the next publish find the topic again and check its settings.
func (d *Driver) forgetVerdict(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.topics, name)
	delete(d.verdicts, name)
}

// settings asks for a topic's settings.
func (d *Driver) settings(ctx context.Context, name string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cluster.replyTimeout)
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

// settingFaults returns the faults in a topic's settings, the worst first. allAcks says
// whether a publish waits for all in-sync replicas.
func settingFaults(t topic, settings map[string]string, allAcks bool) (faults []transport.Fault) {
	add := func(level slog.Level, format string, args ...any) {
		faults = append(faults, transport.Fault{Level: level, Text: fmt.Sprintf(format, args...)})
	}
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		return n, err == nil
	}
	if strings.Contains(settings["cleanup.policy"], "compact") {
		add(slog.LevelError, "cleanup.policy=%s: compaction removes records, and nobody can be told which; "+
			"and it refuses records without a key, as Fanfare's are. Want delete",
			settings["cleanup.policy"])
	}
	least, ok := number("min.insync.replicas")
	switch {
	case ok && allAcks && t.copies > 0 && least > int64(t.copies):
		add(slog.LevelWarn, "min.insync.replicas=%d, and it is on %d brokers: every publish is refused",
			least, t.copies)
	case ok && allAcks && t.copies > 1 && least == 1:
		add(slog.LevelWarn, "min.insync.replicas=1: when the other brokers lag, what one alone has "+
			"is confirmed, and is lost with it; want 2")
	}
	if settings["unclean.leader.election.enable"] == "true" {
		add(slog.LevelWarn, "unclean.leader.election.enable: a broker that lags may become the leader, "+
			"and what was confirmed is lost then")
	}
	if settings["message.timestamp.type"] == "CreateTime" {
		add(slog.LevelWarn, "message.timestamp.type=CreateTime: records have their producers' times; "+
			"those that cannot be are set right where they are read, but what a node reads when it starts "+
			"is only as right as those clocks are. Want LogAppendTime")
	}
	if n, ok := number("retention.ms"); ok && n >= 0 && time.Duration(n) < shortAge/time.Millisecond {
		add(slog.LevelWarn, "retention.ms=%d: a node that has just started does not know older records, "+
			"and delivers their repetitions; and sessions that were away for longer are told a gap", n)
	}
	if n, ok := number("max.message.bytes"); ok && n < usualSize {
		add(slog.LevelInfo, "max.message.bytes=%d: larger messages are refused with 413", n)
	}
	return faults
}

// unusableError returns an error if a topic with these faults is unusable.
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
