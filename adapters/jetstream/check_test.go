package jetstream_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	stock "github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// What a stream is decides whether one may read it, and whether one may publish
// to it; the rest is said in the log.
func TestAStreamIsCheckedWhenItIsOpened(t *testing.T) {
	const both, publish, warns, silent = "both", "publish", "warns", "silent"
	k := newKit(t)
	k.must(func() error {
		_, err := k.js().CreateStream(t.Context(), stock.StreamConfig{Name: "origin", Subjects: []string{"origin"}})
		return err
	}())
	for name, c := range map[string]struct {
		change  func(c *stock.StreamConfig)
		refused string
		fault   string
	}{
		"as we make it":       {func(c *stock.StreamConfig) { c.MaxAge = time.Hour }, silent, ""},
		"no_ack":              {func(c *stock.StreamConfig) { c.NoAck = true }, publish, "no_ack"},
		"work queue":          {func(c *stock.StreamConfig) { c.Retention = stock.WorkQueuePolicy }, both, "--retention limits"},
		"interest":            {func(c *stock.StreamConfig) { c.Retention = stock.InterestPolicy }, both, "--retention limits"},
		"per subject, shared": {func(c *stock.StreamConfig) { c.MaxMsgsPerSubject, c.Subjects = 1, []string{"%s", "more.%s"} }, both, "max-msgs-per-subject"},
		"per subject, alone":  {func(c *stock.StreamConfig) { c.MaxMsgsPerSubject, c.MaxAge = 9, time.Hour }, silent, ""},
		"rollup, shared":      {func(c *stock.StreamConfig) { c.AllowRollup, c.Subjects = true, []string{"%s", "more.%s"} }, warns, "allow-rollup"},
		"rollup, alone":       {func(c *stock.StreamConfig) { c.AllowRollup, c.MaxAge = true, time.Hour }, silent, ""},
		"transform":           {func(c *stock.StreamConfig) { c.SubjectTransform = transform("%s", "moved.%s") }, both, "subject transform"},
		"transform of all":    {func(c *stock.StreamConfig) { c.SubjectTransform = transform(">", "moved.>") }, both, "subject transform"},
		"transform of another": {func(c *stock.StreamConfig) {
			c.SubjectTransform, c.MaxAge = transform("x.*", "y.{{wildcard(1)}}"), time.Hour
		}, silent, ""},
		"counter":     {func(c *stock.StreamConfig) { c.AllowMsgCounter, c.AllowDirect = true, true }, publish, "counts"},
		"discard new": {func(c *stock.StreamConfig) { c.Discard, c.MaxMsgs = stock.DiscardNew, 9 }, warns, "discard new"},
		"discard new per subject": {func(c *stock.StreamConfig) {
			c.Discard, c.MaxMsgsPerSubject, c.DiscardNewPerSubject, c.MaxMsgs = stock.DiscardNew, 9, true, 99
		}, warns, "discard new"},
		"short":           {func(c *stock.StreamConfig) { c.MaxAge, c.Duplicates = time.Minute, time.Minute }, warns, "max_age"},
		"no limit":        {func(*stock.StreamConfig) {}, warns, "no limit"},
		"ttl of messages": {func(c *stock.StreamConfig) { c.AllowMsgTTL = true }, warns, "allow_msg_ttl"},
		"markers": {func(c *stock.StreamConfig) {
			c.AllowMsgTTL, c.SubjectDeleteMarkerTTL, c.AllowRollup = true, time.Minute, true
		}, warns, "markers"},
		"consumers": {func(c *stock.StreamConfig) { c.MaxConsumers = 5 }, warns, "max_consumers"},
		"memory":    {func(c *stock.StreamConfig) { c.Storage = stock.MemoryStorage }, warns, "in memory"},
		"size":      {func(c *stock.StreamConfig) { c.MaxMsgSize = 1000 }, warns, "max_msg_size"},
		"shared":    {func(c *stock.StreamConfig) { c.Subjects = []string{"%s", "more.%s"} }, warns, "more than the topic"},
		"sources":   {func(c *stock.StreamConfig) { c.Sources = []*stock.StreamSource{{Name: "origin"}} }, warns, "more than the topic"},
		"republished": {func(c *stock.StreamConfig) {
			c.RePublish, c.MaxAge = &stock.RePublish{Source: "%s", Destination: "copy.%s"}, time.Hour
		}, silent, ""},
		"deny, compressed, windows": {func(c *stock.StreamConfig) {
			c.DenyDelete, c.DenyPurge, c.Compression, c.MaxAge, c.FirstSeq = true, true, stock.S2Compression, time.Hour, 7
		}, silent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "topic" + strings.Map(letters, name)
			config := stock.StreamConfig{Name: topic, Subjects: []string{"%s"}}
			c.change(&config)
			fill(&config, topic)
			if _, err := k.js().CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			d, j := openLogged(t, k.URL("jetstream"))
			f, err := d.Follow(t.Context(), topic, "")
			if f != nil {
				defer f.Close()
			}
			if refused := c.refused == both; refused != (err != nil) || refused && !driverkit.Says(err, c.fault, domain.ErrUnsupported) {
				t.Errorf("Follow: %v", err)
			}
			start := time.Now()
			err = errors.Join(d.Publish(t.Context(), driverkit.Outgoing(topic, driverkit.Raw("x")))...)
			refused := c.refused == both || c.refused == publish
			if refused != (err != nil) || refused && !driverkit.Says(err, c.fault, domain.ErrBusRefused, domain.ErrBusDown) {
				t.Errorf("Publish: %v", err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if told := j.Contains("what the broker has for a topic"); told != (c.refused != silent) || told && !j.Contains(c.fault) {
				t.Errorf("logged: %s", j)
			}
		})
	}
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

func transform(from, to string) *stock.SubjectTransformConfig {
	return &stock.SubjectTransformConfig{Source: from, Destination: to}
}

// fill puts the topic where %s stands.
func fill(c *stock.StreamConfig, topic string) {
	all := []*string{}
	for i := range c.Subjects {
		all = append(all, &c.Subjects[i])
	}
	if c.SubjectTransform != nil {
		all = append(all, &c.SubjectTransform.Source, &c.SubjectTransform.Destination)
	}
	if c.RePublish != nil {
		all = append(all, &c.RePublish.Source, &c.RePublish.Destination)
	}
	for _, s := range all {
		*s = strings.ReplaceAll(*s, "%s", topic)
	}
}

// A stream that is changed under a running node: what publishing can no longer
// be proven for is refused with the reason, at the latest after one that got no
// answer; and a log line tells.
func TestAStreamThatIsChangedIsNoticed(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.MaxAge = time.Hour })
	d, j := openLogged(t, k.URL("jetstream"))
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		return errors.Join(d.Publish(ctx, driverkit.Outgoing("t", driverkit.Raw("x")))...)
	}
	k.must(publish())
	change := func(noAck bool) {
		t.Helper()
		c := k.stream().CachedInfo().Config
		c.NoAck = noAck
		_, err := k.js().UpdateStream(t.Context(), c)
		k.must(err)
	}
	change(true)
	if err := publish(); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("without an answer: %v", err)
	}
	if err := publish(); !driverkit.Says(err, "no_ack", domain.ErrBusRefused) {
		t.Errorf("after that: %v", err)
	}
	change(false)
	k.must(publish())
	// Where the topic is followed its tail is asked for all the time.
	tail := func() {
		t.Helper()
		_, err := d.(transport.LogDriver).Tail(t.Context(), "t")
		k.must(err)
	}
	tail()
	change(true)
	tail()
	if err := publish(); !driverkit.Says(err, "no_ack", domain.ErrBusRefused) {
		t.Errorf("after a look: %v", err)
	}
	if !j.Contains("no_ack") || !j.Contains("is good now") {
		t.Errorf("log: %s", j)
	}
}

// A stream that confirms nothing is a good one to read: others publish to it
// without waiting.
func TestAStreamThatConfirmsNothingIsRead(t *testing.T) {
	k := newKit(t)
	k.create(func(c *stock.StreamConfig) { c.NoAck = true })
	f := k.follow("")
	nc := k.Client()
	for _, n := range driverkit.Numbers(1, 3) {
		k.must(nc.Publish("t", []byte(n)))
	}
	k.want(driverkit.Numbers(1, 3), k.bodies(f, 3))
	k.want(driverkit.Numbers(2, 3), k.bodies(k.follow(at(1)), 2))
}

func TestASealedStreamIsReadAndNotPublishedTo(t *testing.T) {
	k := newKit(t)
	k.add(1, 2)
	c := k.stream().CachedInfo().Config
	c.Sealed = true
	_, err := k.js().UpdateStream(t.Context(), c)
	k.must(err)
	if err := errors.Join(k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("3")))...); !driverkit.Says(err, "", domain.ErrBusRefused) {
		t.Errorf("published: %v", err)
	}
	if err := errors.Join(k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("3")))...); !driverkit.Says(err, "it is sealed", domain.ErrBusRefused) {
		t.Errorf("published again: %v", err)
	}
	k.want(driverkit.Numbers(1, 2), k.bodies(k.follow(at(0)), 2))
}

func TestAFullStreamSaysThatItIsFull(t *testing.T) {
	for name, change := range map[string]func(*stock.StreamConfig){
		"messages":    func(c *stock.StreamConfig) { c.MaxMsgs = 2 },
		"bytes":       func(c *stock.StreamConfig) { c.MaxBytes = 100 },
		"per subject": func(c *stock.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 2, true },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.create(func(c *stock.StreamConfig) { c.Discard = stock.DiscardNew; change(c) })
			errs := k.d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2"), driverkit.Raw("3"), driverkit.Raw("4")))
			if len(errs) != 4 || !driverkit.Says(errs[3], "is full", domain.ErrBusFull, domain.ErrBusRefused, domain.ErrBusDown) {
				t.Errorf("errors %v", errs)
			}
		})
	}
}

// An account that may store no more.
func TestAnAccountWithoutRoomSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	driverkit.WriteFile(t, file, `accounts { A { jetstream: {max_file: 200K, max_mem: 1K}, users: [{user: a, password: p}] } }`)
	s := broker.NATS(t, "--config", file)
	d := open(t, "jetstream://a:p@"+s.Addr())
	var err error
	for range 20 {
		if err = errors.Join(d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw(strings.Repeat("x", 50<<10))))...); err != nil {
			break
		}
	}
	if !driverkit.Says(err, "room", domain.ErrBusFull, domain.ErrBusRefused) {
		t.Error(err)
	}
}

// Somebody who hears the topic's subject and answers what he hears has not
// stored it.
func TestOnlyTheStreamsAnswerCounts(t *testing.T) {
	for _, answer := range []string{
		`{"stream":"theirs","seq":1}`, `{"seq":1}`, `{}`, "ok", "", `{"error":{"code":400}}`, `{"stream":"","seq":1}`,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"theirs","seq":0}`,
	} {
		t.Run(answer, func(t *testing.T) {
			k := newKit(t)
			k.add(1, 1)
			nc := k.Client()
			_, err := nc.Subscribe("t", func(m *nats.Msg) { _ = m.Respond([]byte(answer)) })
			k.must(err)
			k.must(nc.Flush())
			k.add(2, 20) // the stream's own answers come too
			k.remove()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := errors.Join(k.d.Publish(ctx, driverkit.Outgoing("t", driverkit.Raw("nowhere")))...); !errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrBusRefused) {
				t.Errorf("taken by nobody: %v", err)
			} else {
				t.Log(err)
			}
		})
	}
}
