package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/test/broker"
)

func TestKafkaAnswersAndCanBeFrozenAndKilled(t *testing.T) {
	s := broker.Kafka(t)
	ping := func(addr string, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		c, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Ping(ctx)
	}
	for _, addr := range []string{s.Addr(), s.Proxy().Addr()} {
		if err := ping(addr, 20*time.Second); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	s.Freeze()
	if err := ping(s.Addr(), 200*time.Millisecond); err == nil {
		t.Error("a frozen broker answered")
	}
	s.Thaw()
	if err := ping(s.Addr(), 20*time.Second); err != nil {
		t.Errorf("after Thaw: %v", err)
	}
	s.Kill()
	if err := ping(s.Addr(), 5*time.Second); err == nil {
		t.Error("a killed broker answered")
	}
	s.Restart()
	if err := ping(s.Addr(), 20*time.Second); err != nil {
		t.Errorf("after Restart: %v", err)
	}
}
