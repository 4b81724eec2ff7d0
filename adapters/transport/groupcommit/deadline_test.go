package groupcommit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
)

// commitWith runs one commit with a deadline in a second. Send is the test's.
func commitWith(t *testing.T, send func(context.Context)) {
	t.Helper()
	p := groupcommit.New(groupcommit.Config[int]{MaxQueue: 1, Send: func(ctx context.Context, _ []int) []error {
		send(ctx)
		return nil
	}})
	defer p.Close()
	p.Publish(context.Background(), time.Now().Add(time.Second), []int{1})
}

// A driver may use the context of a commit as any other context with a deadline.
func TestTheContextOfACommitEndsAtTheDeadline(t *testing.T) {
	type key struct{}
	tests := map[string]func(*testing.T, context.Context){
		"who waits": func(t *testing.T, ctx context.Context) { <-ctx.Done() },
		"who derives a context": func(t *testing.T, ctx context.Context) {
			derived, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
			defer cancel()
			<-derived.Done()
		},
		"who only looks": func(t *testing.T, ctx context.Context) {
			time.Sleep(time.Second - time.Nanosecond)
			if err := ctx.Err(); err != nil {
				t.Errorf("before the deadline: %v", err)
			}
			time.Sleep(time.Nanosecond)
		},
	}
	for name, wait := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				commitWith(t, func(ctx context.Context) {
					if by, ok := ctx.Deadline(); !ok || !by.Equal(start.Add(time.Second)) {
						t.Errorf("the deadline is %v, %v", by, ok)
					}
					if err := ctx.Err(); err != nil {
						t.Errorf("at the start: %v", err)
					}
					wait(t, ctx)
					if err := ctx.Err(); err != context.DeadlineExceeded {
						t.Errorf("at the deadline: %v", err)
					}
					select {
					case <-ctx.Done():
					default:
						t.Error("Done is open when Err says that it is over")
					}
					if waited := time.Since(start); waited != time.Second {
						t.Errorf("it ended after %v", waited)
					}
				})
			})
		})
	}
}

// What a driver leaves behind, such as a goroutine that waits, ends with the commit.
func TestTheContextOfACommitEndsWithIt(t *testing.T) {
	for name, use := range map[string]func(context.Context){
		"not used": func(context.Context) {}, "used": func(ctx context.Context) { ctx.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var left context.Context
				commitWith(t, func(ctx context.Context) { use(ctx); left = ctx })
				if err := left.Err(); err != context.Canceled {
					t.Errorf("after the commit: %v", err)
				}
				<-left.Done()
				if waited := time.Since(start); waited != 0 {
					t.Errorf("it ended %v after the commit", waited)
				}
			})
		})
	}
}
