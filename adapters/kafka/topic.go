package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/domain"
)

// settle is how long to wait before a cluster that has not agreed yet is asked
// again.
const settlePause = 20 * time.Millisecond

// A topic is a topic of one partition, as the cluster described it.
type topic struct {
	name   string
	id     [16]byte // of this very topic; one created anew has another
	leader int32
	addr   string // the leader's
	epoch  int32  // the leader's
	copies int    // on how many brokers it is
}

func (t topic) log() domain.LogID { return domain.NewLogID("kafka", hex.EncodeToString(t.id[:])) }

var errMissing = errors.New("the topic does not exist")

// errNotCreated: and nobody here may create it.
var errNotCreated = errors.New("nor may it be created")

// A topicTemplate says how topics are created.
type topicTemplate struct {
	create    bool
	retention time.Duration
	replicas  int // -1: what the cluster has as its default
}

// configs are a new topic's settings. Kafka drops whole segments only, so they
// are made short enough for retention to mean something.
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

// command is how a person creates the topic.
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

// find returns the topic as the cluster has it now, and creates it if it is
// missing and that is allowed. It waits, as long as ctx lasts, until the topic
// has a leader.
func (d *Driver) find(ctx context.Context, name string) (topic, error) {
	for created := false; ; {
		t, err := d.describe(ctx, name)
		switch {
		case err == nil:
			if err := d.inspect(ctx, t); err != nil {
				return topic{}, err
			}
			d.cache(t)
			return t, nil
		case errors.Is(err, errMissing) && !created:
			if err := d.create(ctx, name); err != nil {
				return topic{}, err
			}
			created = true
		case !errors.Is(err, errMissing) && !isUnsettled(err):
			return topic{}, err
		}
		if !pause(ctx, settlePause) {
			return topic{}, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// describe asks the cluster for a topic.
func (d *Driver) describe(ctx context.Context, name string) (topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &name
	req.Topics = append(req.Topics, asked)
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return topic{}, err
	}
	if len(resp.Topics) != 1 {
		return topic{}, errMissing
	}
	m := &resp.Topics[0]
	if err := kerr.ErrorForCode(m.ErrorCode); err != nil {
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			err = errMissing
		}
		return topic{}, err
	}
	if n := len(m.Partitions); n != 1 {
		return topic{}, fmt.Errorf("%w: the topic has %d partitions, and only one gives all readers one order: "+
			"create another one with `%s` and name it in the setting topic", domain.ErrUnsupported, n, d.template.command("NAME"))
	}
	if m.TopicID == [16]byte{} {
		return topic{}, errTooOld
	}
	p := &m.Partitions[0]
	if p.Leader < 0 {
		return topic{}, kerr.LeaderNotAvailable
	}
	for _, b := range resp.Brokers {
		if b.NodeID == p.Leader {
			addr := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
			return topic{name: name, id: m.TopicID, leader: p.Leader, addr: addr, epoch: p.LeaderEpoch, copies: len(p.Replicas)}, nil
		}
	}
	return topic{}, kerr.LeaderNotAvailable
}

var errTooOld = fmt.Errorf("%w: the brokers do not identify topics in what they answer: Kafka 3.1 or newer is needed", domain.ErrUnsupported)

func (d *Driver) create(ctx context.Context, name string) error {
	if !d.template.create {
		return fmt.Errorf("%w, %w (create=false): `%s` creates it", errMissing, errNotCreated, d.template.command(name))
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
	req.TimeoutMillis = millisLeft(ctx, d.server.replyTimeout)
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
			return fmt.Errorf("%w, and cannot be created: %w: somebody who may creates it with `%s`", errMissing, err, d.template.command(name))
		}
	}
	return nil
}

const (
	latestOffset   = -1
	earliestOffset = -2
)

// offset asks the leader for an offset: the first, the one behind the last that
// is committed, or that of the first record from a time on, in milliseconds; -1
// if there is none.
func (d *Driver) offset(ctx context.Context, t topic, at int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	// Without it an answer is waited for half a minute, and meanwhile all that
	// comes behind it on a connection that brings nothing any more.
	req.TimeoutMillis = millisLeft(ctx, d.server.replyTimeout)
	req.ReplicaID = -1
	req.IsolationLevel = readCommitted
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Timestamp = t.epoch, at
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = t.name
	asked.Partitions = append(asked.Partitions, p)
	req.Topics = append(req.Topics, asked)
	resp, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	listed := resp.(*kmsg.ListOffsetsResponse).Topics
	if len(listed) != 1 || len(listed[0].Partitions) != 1 {
		return 0, errUnexpectedAnswer
	}
	if err := kerr.ErrorForCode(listed[0].Partitions[0].ErrorCode); err != nil {
		return 0, err
	}
	return listed[0].Partitions[0].Offset, nil
}

// epochEnd asks the leader where the records of an epoch end; -1 if the log holds
// nothing of it.
func (d *Driver) epochEnd(ctx context.Context, t topic, epoch int32) (int64, error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.CurrentLeaderEpoch, p.LeaderEpoch = t.epoch, epoch
	asked := kmsg.NewOffsetForLeaderEpochRequestTopic()
	asked.Topic = t.name
	asked.Partitions = append(asked.Partitions, p)
	req.Topics = append(req.Topics, asked)
	resp, err := d.client.Broker(int(t.leader)).Request(ctx, req)
	if err != nil {
		return 0, err
	}
	ended := resp.(*kmsg.OffsetForLeaderEpochResponse).Topics
	if len(ended) != 1 || len(ended[0].Partitions) != 1 {
		return 0, errUnexpectedAnswer
	}
	if err := kerr.ErrorForCode(ended[0].Partitions[0].ErrorCode); err != nil {
		return 0, err
	}
	return ended[0].Partitions[0].EndOffset, nil
}

var errUnexpectedAnswer = errors.New("the broker answered something else than what was asked")

// maxTopics bounds how many topics are remembered.
const maxTopics = 4096

func (d *Driver) cache(t topic) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.topics) >= maxTopics {
		clear(d.topics)
	}
	d.topics[t.name] = t
}

func (d *Driver) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.topics, name)
}

// cached returns the topic as it was last cached.
func (d *Driver) cached(name string) (topic, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.topics[name]
	return t, ok
}

// cachedOrFound returns the topic as it was last seen, or finds it.
func (d *Driver) cachedOrFound(ctx context.Context, name string) (topic, error) {
	if t, ok := d.cached(name); ok {
		return t, nil
	}
	return d.find(ctx, name)
}

// pause waits for a moment, and says whether ctx lasted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// millisLeft is how many milliseconds ctx lasts, and most at most.
func millisLeft(ctx context.Context, most time.Duration) int32 {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline))
	}
	return int32(max(most, time.Millisecond).Milliseconds())
}
