package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

func TestRedisAnswersAndForgetsWhenKilled(t *testing.T) {
	s := broker.Redis(t)
	ctx, c := t.Context(), s.Client()
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Fatal("a killed server answered")
	}
	s.Restart()
	if n := s.CLI("EXISTS", "k"); n != "0" {
		t.Fatalf("after kill -9 without persistence EXISTS k = %s", n)
	}
}

func TestFrozenRedisSwallowsUntilThawed(t *testing.T) {
	s := broker.Redis(t, "--requirepass", "secret")
	c := s.Client()
	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(context.Background()).Err() }()
	select {
	case err := <-answered:
		t.Fatalf("a frozen server answered: %v", err)
	case <-ctx.Done():
	}
	s.Thaw()
	if err := <-answered; err != nil {
		t.Fatalf("after Thaw: %v", err)
	}
}
