package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// settlePause is how long to wait before a cluster whose brokers do not agree yet is asked
// again.
const settlePause = 20 * time.Millisecond

// A topic is a topic of one partition, as the cluster has described it.
type topic struct {
	name   string
	id     [16]byte // a topic that was created anew has another id
	log    domain.LogID
	leader int32  // a broker's id
	addr   string // of the leader
	epoch  int32  // the leader epoch
	copies int    // the number of brokers that have a replica
}

func logOf(id [16]byte) domain.LogID { return domain.NewLogID("kafka", hex.EncodeToString(id[:])) }

var errMissing = errors.New("the topic does not exist")

// find returns the topic as the cluster describes it now. It creates a missing topic if the
// URL allows that. It waits until the topic has a leader, as long as ctx lasts.
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
		if !pause.For(ctx, settlePause) {
			return topic{}, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// describe asks the cluster for a topic. It returns errMissing if there is none.
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
	return d.topicOf(name, m, resp.Brokers)
}

// topicOf makes a topic of a cluster's answer, or returns an error if it is not usable or
// has no leader.
func (d *Driver) topicOf(
	name string, m *kmsg.MetadataResponseTopic, brokers []kmsg.MetadataResponseBroker,
) (topic, error) {
	if n := len(m.Partitions); n != 1 {
		return topic{}, fmt.Errorf("%w: the topic has %d partitions, and only one gives all readers "+
			"one order: create another one with `%s` and name it in the setting topic",
			domain.ErrUnsupported, n, d.template.command("NAME"))
	}
	if m.TopicID == [16]byte{} {
		return topic{}, errTooOld
	}
	p := &m.Partitions[0]
	if p.Leader < 0 {
		return topic{}, kerr.LeaderNotAvailable
	}
	for _, b := range brokers {
		if b.NodeID == p.Leader {
			return topic{
				name: name, id: m.TopicID, log: logOf(m.TopicID), copies: len(p.Replicas),
				addr:   net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))),
				leader: p.Leader, epoch: p.LeaderEpoch,
			}, nil
		}
	}
	return topic{}, kerr.LeaderNotAvailable
}

// maxTopics is how many topics a Driver remembers.
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

// cached returns the topic as it was last described.
func (d *Driver) cached(name string) (topic, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.topics[name]
	return t, ok
}

// cachedOrFound returns the topic as it was last described, else as find does.
func (d *Driver) cachedOrFound(ctx context.Context, name string) (topic, error) {
	if t, ok := d.cached(name); ok {
		return t, nil
	}
	return d.find(ctx, name)
}

// maxTopic is the longest name of a topic, in bytes.
const maxTopic = 249

// CheckTopic accepts the names that Kafka does: 1 to 249 letters, digits, dots, dashes and
// underscores, and neither "." nor "..". Of names that differ only in dots and underscores,
// the cluster refuses to create the second, since they would share a metric's name.
func (d *Driver) CheckTopic(name string) error {
	ok := name != "" && len(name) <= maxTopic && name != "." && name != ".."
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '_' || c == '-')
	}
	if !ok {
		problem := fmt.Sprintf("want 1 to %d of a-z, A-Z, 0-9, . _ and -", maxTopic)
		return &domain.FieldError{Path: "topic", Problem: problem}
	}
	return nil
}
