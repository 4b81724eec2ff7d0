package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestADeadlineContextEndsAsOneWithATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), keyOfTest{}, 7))
		defer cancel()
		c := newDeadlineContext(parent, time.Second)
		defer c.end()
		if at, ok := c.Deadline(); !ok || !at.Equal(time.Now().Add(time.Second)) || c.Value(keyOfTest{}) != 7 {
			t.Errorf("%v, %v, %v", at, ok, c.Value(keyOfTest{}))
		}
		time.Sleep(time.Second - time.Nanosecond)
		if err := c.Err(); err != nil {
			t.Fatalf("too early: %v", err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		<-c.Done()
		if !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Errorf("after the time: %v", c.Err())
		}

		late := newDeadlineContext(parent, time.Second) // first looked at when its time is over
		time.Sleep(time.Second)
		if !errors.Is(late.Err(), context.DeadlineExceeded) {
			t.Errorf("looked at late: %v", late.Err())
		}
		late.end()

		with := newDeadlineContext(parent, time.Hour)
		derived, stop := context.WithCancel(with)
		defer stop()
		cancel()
		<-derived.Done()
		if !errors.Is(with.Err(), context.Canceled) {
			t.Errorf("after the parent: %v", with.Err())
		}
		with.end()

		over := newDeadlineContext(t.Context(), time.Hour)
		over.end()
		if !errors.Is(over.Err(), context.Canceled) {
			t.Errorf("after end: %v", over.Err())
		}
		sooner, stopSooner := context.WithTimeout(t.Context(), time.Second)
		defer stopSooner()
		if at, _ := newDeadlineContext(sooner, time.Hour).Deadline(); !at.Equal(time.Now().Add(time.Second)) {
			t.Errorf("the parent ends sooner: %v", at)
		}
	})
}

type keyOfTest struct{}
