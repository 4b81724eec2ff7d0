package redisconn_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
)

func TestASlotIsGivenBackOnce(t *testing.T) {
	s := redisconn.NewSlots(2)
	first, ok := s.Take()
	if !ok {
		t.Fatal("no slot of two")
	}
	if _, ok := s.Take(); !ok {
		t.Fatal("no second slot of two")
	}
	if _, ok := s.Take(); ok {
		t.Fatal("a third slot of two")
	}
	first()
	first()
	if _, ok := s.Take(); !ok {
		t.Fatal("a slot that was given back is not free")
	}
	if _, ok := s.Take(); ok {
		t.Fatal("a slot was given back twice")
	}
}
