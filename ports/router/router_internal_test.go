package router

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestEndOfTheWatermillRouterIsFatal(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(silence{}, topics, Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Run(t.Context()) }()
	<-r.wm.Running()
	if err := r.wm.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("Run returned nil though its context goes on")
	}
}
