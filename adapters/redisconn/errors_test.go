package redisconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		down bool
	}{
		{nil, false},
		{io.EOF, true},
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{context.Canceled, false},
		{domain.ErrClosed, false},
		{redis.ErrClosed, false},
		{redisconn.Error("LOADING Redis is loading the dataset in memory"), true},
		{redisconn.Error("ERR max number of clients reached"), true},
		{fmt.Errorf("log in: %w", redisconn.Error("WRONGPASS invalid username-password pair")), true},
		{redisconn.Error("WRONGTYPE Operation against a key"), false},
		{redisconn.Error("ERR syntax error"), false},
		{redisconn.Error("MOVED 12182 10.0.0.2:6379"), true},
	} {
		got := redisconn.Classify(c.err)
		if errors.Is(got, domain.ErrBusDown) != c.down {
			t.Errorf("%v became %v", c.err, got)
		}
		if c.err != redis.ErrClosed && !errors.Is(got, c.err) {
			t.Errorf("%v lost its cause: %v", c.err, got)
		}
		if again := redisconn.Classify(got); again != got {
			t.Errorf("twice: %v", again)
		}
	}
	if got := redisconn.Classify(redis.ErrClosed); !errors.Is(got, domain.ErrClosed) {
		t.Errorf("a closed client: %v", got)
	}
}
