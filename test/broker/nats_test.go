package broker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/test/broker"
)

func TestNATSAnswersAndRemembersStreamsWhenKilled(t *testing.T) {
	s := broker.NATS(t)
	js := func() nats.JetStreamContext {
		js, err := s.Client().JetStream()
		if err != nil {
			t.Fatal(err)
		}
		return js
	}
	if _, err := js().AddStream(&nats.StreamConfig{Name: "s", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js().Publish("s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if info, err := js().StreamInfo("s"); err != nil || info.State.LastSeq != 1 {
		t.Fatalf("after kill -9: %+v, %v", info, err)
	}
	s.Kill()
	s.Forget()
	s.Restart()
	if _, err := js().StreamInfo("s"); err == nil {
		t.Fatal("a stream outlived Forget")
	}
}

func TestFrozenNATSSwallowsUntilThawed(t *testing.T) {
	s := broker.NATS(t)
	nc := s.Client()
	s.Freeze()
	if err := nc.FlushTimeout(50 * time.Millisecond); err == nil {
		t.Fatal("a frozen server answered")
	}
	s.Thaw()
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatalf("after Thaw: %v", err)
	}
}
