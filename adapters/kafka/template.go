package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A topicTemplate says whether and how a missing topic is created.
type topicTemplate struct {
	create    bool // false: never
	retention time.Duration
	replicas  int // -1: the cluster's default
}

// configs are a new topic's settings. Kafka deletes whole segments only, so segments are
// made short compared with the retention.
func (t topicTemplate) configs() [][2]string {
	segment := max(t.retention/12, min(t.retention, time.Second))
	all := [][2]string{
		{"cleanup.policy", "delete"},
		{"message.timestamp.type", "LogAppendTime"},
		{"retention.ms", strconv.FormatInt(t.retention.Milliseconds(), 10)},
		{"segment.ms", strconv.FormatInt(segment.Milliseconds(), 10)},
	}
	if t.replicas >= 3 {
		all = append(all, [2]string{"min.insync.replicas", "2"})
	}
	return all
}

// command is the command with which a person creates the same topic.
func (t topicTemplate) command(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server HOST:PORT --create --topic %s --partitions 1", name)
	if t.replicas > 0 {
		fmt.Fprintf(&b, " --replication-factor %d", t.replicas)
	}
	for _, c := range t.configs() {
		fmt.Fprintf(&b, " --config %s=%s", c[0], c[1])
	}
	return b.String()
}

// errNotCreated is the error of a missing topic that the URL does not allow to create.
var errNotCreated = errors.New("nor may it be created")

// create creates a topic, or returns nil if it exists by now.
func (d *Driver) create(ctx context.Context, name string) error {
	if !d.template.create {
		return fmt.Errorf("%w, %w (create=false): `%s` creates it",
			errMissing, errNotCreated, d.template.command(name))
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	asked := kmsg.NewCreateTopicsRequestTopic()
	asked.Topic, asked.NumPartitions, asked.ReplicationFactor = name, 1, int16(d.template.replicas)
	for _, c := range d.template.configs() {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = c[0], &c[1]
		asked.Configs = append(asked.Configs, config)
	}
	req.Topics = append(req.Topics, asked)
	req.TimeoutMillis = millisLeft(ctx, d.cluster.replyTimeout)
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	for _, t := range resp.Topics {
		err := brokerError(t.ErrorCode, t.ErrorMessage)
		switch {
		case err == nil:
			d.log.Info("created a topic", "topic", name, "retention", d.template.retention)
		case !errors.Is(err, kerr.TopicAlreadyExists):
			return fmt.Errorf("%w, and cannot be created: %w: somebody who may creates it with `%s`",
				errMissing, err, d.template.command(name))
		}
	}
	return nil
}
