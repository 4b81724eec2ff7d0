package redisstream_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// A server that allows 40 connections is enough for 300 feeds that begin at the same
// moment, as they do after the server was away.
func TestManyFeedsThatBeginAtOnceTakeFewConnections(t *testing.T) {
	s := broker.Redis(t, "--maxclients", "40")
	d := open(t, s.URL("redis-streams")+"?read_connections=4")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var beginning sync.WaitGroup
	for i := range 300 {
		beginning.Go(func() {
			f, err := d.Follow(ctx, fmt.Sprint("t", i), "")
			if err != nil {
				t.Errorf("topic %d: %v", i, err)
				return
			}
			t.Cleanup(func() { _ = f.Close() })
		})
	}
	beginning.Wait()
}

// A Follow that waits for a lookup gives up when its context ends.
func TestAFeedThatWaitsForItsTurnEndsWithItsContext(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis-streams")+"?read_connections=0&dial_timeout=20s")
	s.Freeze()
	defer s.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var waiting sync.WaitGroup
	for range 50 { // more than look at once
		waiting.Go(func() {
			if _, err := d.Follow(ctx, "t", ""); err == nil {
				t.Error("a server that is frozen answered")
			}
		})
	}
	waiting.Wait()
}

// The size of one reply about all streams of a connection is bounded, even before
// anything is known about the size of their entries.
func TestAnAnswerForManyStreamsIsNotAsLargeAsAllTheirBatches(t *testing.T) {
	k := newSharedKit(t)
	const topics, each, size = 60, 40, 16 << 10
	body := strings.Repeat("x", size)
	for i := range topics {
		pipe := k.c.Pipeline()
		for range each {
			pipe.Do(t.Context(), "XADD", fmt.Sprint("t", i), "*", "data", body)
		}
		_, err := pipe.Exec(t.Context())
		k.must(err)
	}
	k.must(k.c.ConfigSet(t.Context(), "client-output-buffer-limit", "normal 8mb 0 0").Err())
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var reading sync.WaitGroup
	start := domain.Position(make([]byte, 16))
	for i := range topics {
		reading.Go(func() {
			f, err := k.d.Follow(ctx, fmt.Sprint("t", i), start)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for n := 0; n < each; {
				batch, err := f.Read(ctx)
				if err != nil { // the server closes a connection for which more than 8 MB wait
					t.Errorf("topic %d after %d entries: %v", i, n, err)
					return
				}
				n += len(batch)
			}
		})
	}
	reading.Wait()
}
