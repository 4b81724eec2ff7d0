package jetstream

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumerIdleLimit is how long the server keeps a consumer from which nobody requests
// messages.
const consumerIdleLimit = 2 * time.Minute

// pullPart is the part of a pull subject that names the operation.
const pullPart = ".CONSUMER.MSG.NEXT."

// createConsumer creates the feed's consumer, which ends with the present incarnation of
// the stream. The server decides where the consumer begins. If start names a sequence that
// is not there, the server begins elsewhere without saying so, hence the proof.
func (f *feed) createConsumer(
	ctx context.Context, js jetstream.JetStream, t streamTemplate, topic string,
	start jetstream.ConsumerConfig,
) error {
	name, err := t.findOrCreate(ctx, js, topic)
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, name, consumerConfig(topic, start))
	if err != nil {
		// A property of the stream may be the cause, and explains more.
		if info, infoErr := streamInfo(ctx, js, name); infoErr == nil {
			inspect(f.inspector, &info.Config, topic)
			if fitErr := checkFit(&info.Config, topic, unusable); fitErr != nil {
				return fitErr
			}
		}
		return explainUnavailable(err)
	}
	created := consumer.CachedInfo()
	f.pullSubject = f.api.prefix() + pullPart + name + "." + created.Name
	info, err := streamInfo(ctx, js, name)
	if err != nil {
		return err
	}
	inspect(f.inspector, &info.Config, topic)
	if f.log, err = newTopicLog(info, topic); err != nil {
		return err
	}
	f.begin = created.Delivered.Stream
	if start.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
		f.begin = start.OptStartSeq - 1
		if err = f.log.prove(info, f.begin); err == nil {
			err = f.newest.prove(ctx, js, f.log, f.begin)
		}
	}
	f.readTo = f.begin
	return err
}

// consumerConfig is the configuration of a feed's consumer, which begins where start says.
func consumerConfig(topic string, start jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	c := start
	c.Description = "a feed of Fanfare"
	c.FilterSubject = topic
	c.AckPolicy = jetstream.AckNonePolicy
	c.ReplayPolicy = jetstream.ReplayInstantPolicy
	c.InactiveThreshold = consumerIdleLimit
	c.MemoryStorage, c.Replicas = true, 1
	return c
}

// deleteConsumer asks the server to delete the consumer, without waiting for an answer. If
// that fails, the server deletes the consumer after consumerIdleLimit.
func (f *feed) deleteConsumer() {
	if f.pullSubject != "" {
		subject := strings.Replace(f.pullSubject, pullPart, ".CONSUMER.DELETE.", 1)
		_ = f.api.conn.Publish(subject, nil)
	}
}
