package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// answering starts a fake cluster whose answers to produce requests change may
// change.
func answering(t *testing.T, change func(*kmsg.ProduceResponse)) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
		resp.Topics = append(resp.Topics, topic)
		change(resp)
		return resp, nil, true
	})
	return "kafka://" + c.ListenAddrs()[0]
}

// Each thing that a broker may answer to what is published is known for what it
// is: what it certainly has not taken, what is too large, and what may be there.
func TestWhatABrokerAnswersIsToldForWhatItIs(t *testing.T) {
	refused, large, unknown := []error{domain.ErrBusRefused, domain.ErrBusDown}, []error{domain.ErrTooLarge}, []error{domain.ErrBusDown}
	for _, c := range []struct {
		answer *kerr.Error
		want   []error
	}{
		{kerr.TopicAuthorizationFailed, refused},
		{kerr.ClusterAuthorizationFailed, refused},
		{kerr.NotEnoughReplicas, refused},
		{kerr.PolicyViolation, refused},
		{kerr.InvalidRecord, refused},
		{kerr.InvalidTimestamp, refused},
		{kerr.InvalidTopicException, refused},
		{kerr.InvalidRequiredAcks, refused},
		{kerr.UnsupportedForMessageFormat, refused},
		{kerr.UnsupportedCompressionType, refused},
		{kerr.CorruptMessage, refused},
		{kerr.ThrottlingQuotaExceeded, refused},
		{kerr.MessageTooLarge, large},
		{kerr.RecordListTooLarge, large},
		{kerr.NotEnoughReplicasAfterAppend, unknown},
		{kerr.KafkaStorageError, unknown},
		{kerr.RequestTimedOut, unknown},
		{kerr.UnknownServerError, unknown},
		{kerr.NotLeaderForPartition, unknown},
		{kerr.NetworkException, unknown},
	} {
		t.Run(c.answer.Message, func(t *testing.T) {
			text := "the broker's own words"
			d := open(t, answering(t, func(r *kmsg.ProduceResponse) {
				r.Topics[0].Partitions[0].ErrorCode, r.Topics[0].Partitions[0].ErrorMessage = c.answer.Code, &text
			}))
			errs := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("x")))
			if len(errs) != 1 || !driverkit.Says(errs[0], c.answer.Message, c.want...) || !driverkit.Says(errs[0], text) {
				t.Fatalf("got %v", errs)
			}
			if certain := errors.Is(errs[0], domain.ErrBusRefused); certain != (len(c.want) == 2) {
				t.Errorf("certain %v: %v", certain, errs[0])
			}
		})
	}
}

// An answer that does not say that the batch was taken is no success.
func TestAnAnswerThatConfirmsNothingIsNoSuccess(t *testing.T) {
	for name, change := range map[string]func(*kmsg.ProduceResponse){
		"of no topic":       func(r *kmsg.ProduceResponse) { r.Topics = nil },
		"of no partition":   func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions = nil },
		"of another one":    func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].Partition = 1 },
		"of another topic":  func(r *kmsg.ProduceResponse) { r.Topics[0].Topic, r.Topics[0].TopicID = "u", [16]byte{1} },
		"without an offset": func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].BaseOffset = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, answering(t, change))
			errs := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), driverkit.Raw("2")))
			if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusDown) || !errors.Is(errs[1], domain.ErrBusDown) {
				t.Fatalf("got %v", errs)
			}
		})
	}
	if errs := open(t, answering(t, func(*kmsg.ProduceResponse) {})).Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"))); errs != nil {
		t.Fatalf("a good answer: %v", errs)
	}
}

// guarded starts a broker that wants a user, "u" with the password "right", and
// heeds access control lists. The address is of a proxy before it.
func guarded(t *testing.T) (addr string, admin *kadm.Client) {
	t.Helper()
	s := broker.Kafka(t,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
		"sasl.enabled.mechanisms=PLAIN",
		`listener.name.proxied.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_u="right";`,
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found=true",
		"super.users=User:ANONYMOUS",
	)
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s.Proxy().Addr(), kadm.NewClient(c)
}

// Who the brokers do not let in, or do not let publish any more, is told so, and
// loses nothing.
func TestWhoIsNotAllowedIsToldSo(t *testing.T) {
	addr, admin := guarded(t)
	publish := func(d transport.Driver, body string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return errors.Join(d.Publish(ctx, driverkit.Outgoing("t", driverkit.Raw(body)))...)
	}
	for _, wrong := range []string{"u:wrong@" + addr, "v:right@" + addr, "u:right@" + addr + "?sasl=scram-sha-256"} {
		err := publish(open(t, "kafka://"+wrong), "x")
		if !driverkit.Says(err, "do not accept the URL's user", domain.ErrBusRefused, domain.ErrBusDown) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	d := open(t, "kafka://u:right@"+addr)
	driverkit.Poll(t, func() bool { return publish(d, "1") == nil })
	f, err := d.Follow(t.Context(), "t", beginning)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	// Rights that are taken away on a running node, and given back.
	deny := func(what ...kadm.ACLOperation) *kadm.ACLBuilder {
		return kadm.NewACLs().Topics("t").ResourcePatternType(kadm.ACLPatternLiteral).Deny("User:u").DenyHosts("*").Operations(what...)
	}
	for _, op := range []kadm.ACLOperation{kadm.OpWrite, kadm.OpDescribe} {
		if err := errors.Join(ofCreate(admin.CreateACLs(t.Context(), deny(op)))); err != nil {
			t.Fatal(err)
		}
		driverkit.Poll(t, func() bool {
			err = publish(d, "2")
			return driverkit.Says(err, "TOPIC_AUTHORIZATION_FAILED", domain.ErrBusRefused, domain.ErrBusDown)
		})
		if _, err := admin.DeleteACLs(t.Context(), deny(op)); err != nil {
			t.Fatal(err)
		}
		driverkit.Poll(t, func() bool { return publish(d, "3") == nil })
	}
	// What was confirmed is there, in order; a refusal that came a moment late may
	// have let one in.
	k, got := kit{t: t, d: d}, []string{}
	for strings.Count(strings.Join(got, ""), "3") < 2 {
		got = append(got, k.bodies(f, 1)...)
	}
	k.want([]string{"1", "3"}, slices.Compact(slices.DeleteFunc(got, func(s string) bool { return s == "2" })))
}

func ofCreate(r kadm.CreateACLsResults, err error) error {
	for _, one := range r {
		err = errors.Join(err, one.Err)
	}
	return err
}

// A topic's settings are looked at when it is opened, and while it is followed.
func TestATopicIsCheckedWhenItIsOpened(t *testing.T) {
	onEach(t, func(k kit) {
		good := []string{"cleanup.policy=delete", "message.timestamp.type=LogAppendTime", "retention.ms=3600000", "min.insync.replicas=1"}
		for name, c := range map[string]struct {
			setting, fault string
			refused        bool
		}{
			"good":        {"", "", false},
			"compacted":   {"cleanup.policy=compact", "cleanup.policy=compact", true},
			"both":        {"cleanup.policy=compact,delete", "cleanup.policy=", true},
			"create time": {"message.timestamp.type=CreateTime", "CreateTime", false},
			"short":       {"retention.ms=60000", "retention.ms=60000", false},
			"for ever":    {"retention.ms=-1", "", false},
			"replicas":    {"min.insync.replicas=2", "every publish is refused", false},
			"unclean":     {"unclean.leader.election.enable=true", "unclean.leader", false},
			"small":       {"max.message.bytes=1000", "max.message.bytes=1000", false},
		} {
			k.t.(*testing.T).Run(name, func(t *testing.T) {
				k := k
				k.t, k.topic = t, uniqueTopic()
				configs := good
				if c.setting != "" {
					configs = append(good[:len(good):len(good)], c.setting)
				}
				k.create(1, configs...)
				d, j := openLogged(t, k.url)
				f, err := d.Follow(t.Context(), k.topic, "")
				if f != nil {
					defer f.Close()
				}
				if c.refused != (err != nil) || c.refused && !driverkit.Says(err, c.fault, domain.ErrUnsupported) {
					t.Errorf("Follow: %v", err)
				}
				err = errors.Join(d.Publish(t.Context(), driverkit.Outgoing(k.topic, driverkit.Raw("x")))...)
				if c.refused && !driverkit.Says(err, c.fault, domain.ErrBusRefused, domain.ErrBusDown) {
					t.Errorf("Publish: %v", err)
				}
				if told := strings.Contains(j.String(), "what the broker has"); told != (c.fault != "") || !strings.Contains(j.String(), c.fault) {
					t.Errorf("log: %s", j)
				}
			})
		}
	})
}

// A topic that is compacted from now on is noticed when the broker refuses.
func TestATopicThatIsChangedIsNoticed(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1, "cleanup.policy=delete")
		d, _ := openLogged(k.t, k.url)
		attempt := func() error {
			return errors.Join(d.Publish(k.t.Context(), driverkit.Outgoing(k.topic, driverkit.Raw("x")))...)
		}
		k.must(attempt())
		set := func(policy string) {
			k.t.Helper()
			_, err := k.admin.AlterTopicConfigs(k.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}, k.topic)
			k.must(err)
		}
		set("compact")
		if strings.Contains(k.t.Name(), "real") { // the fake takes them all the same
			driverkit.Poll(k.t, func() bool { return driverkit.Says(attempt(), "cleanup.policy=compact", domain.ErrBusRefused) })
			set("delete")
			driverkit.Poll(k.t, func() bool { return attempt() == nil })
		}
	})
}

// Whatever times foreign producers write, an entry's time is one at which it can
// have come, and looking for a time finds what came since.
func TestForeignTimesAreBounded(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1, "message.timestamp.type=CreateTime", "message.timestamp.after.max.ms=9223372036854775807",
			"message.timestamp.before.max.ms=9223372036854775807", "retention.ms=-1")
		started := time.Now()
		live := k.follow("")
		var records []*kgo.Record
		for _, when := range []time.Time{
			started, started.AddDate(1, 0, 0), started.AddDate(-1, 0, 0), time.UnixMilli(0), time.UnixMilli(253402300799999), started,
		} {
			records = append(records, &kgo.Record{Topic: k.topic, Timestamp: when, Value: []byte("x")})
		}
		k.must(k.c.ProduceSync(k.t.Context(), records...).FirstErr())
		for i, e := range k.read(live, len(records)) {
			if e.Time.Before(started.Add(-time.Second)) || e.Time.After(time.Now()) {
				k.t.Errorf("live record %d: %v", i, e.Time)
			}
		}
		for i, e := range k.read(k.follow(beginning), len(records)) {
			if e.Time.Before(started.Add(-time.Second)) || e.Time.After(time.Now()) {
				k.t.Errorf("record %d, read again: %v", i, e.Time)
			}
		}
		for _, when := range []time.Time{{}, time.Unix(0, 0), time.UnixMilli(-1), started.Add(-time.Minute)} {
			if n := len(k.read(k.since(when), len(records))); n != len(records) {
				k.t.Errorf("since %v: %d records", when, n)
			}
		}
		for _, when := range []time.Time{time.UnixMilli(253402300799999).Add(time.Hour), time.Unix(1<<53, 0)} {
			if f := k.since(when); f.Begin() != at(int64(len(records))) {
				k.t.Errorf("since %v: begins at %x", when, f.Begin())
			}
		}
	})
}
