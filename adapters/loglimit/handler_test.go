package loglimit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/loglimit"
)

func newLog() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(loglimit.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))), &out
}

func lines(out *bytes.Buffer) int { return strings.Count(out.String(), "\n") }

func TestAFloodOfOneKindIsBoundedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog()
		for i := range 10_000 {
			log.Info("a client was refused", "reason", "expired", "n", i)
		}
		if n := lines(out); n != loglimit.Burst {
			t.Errorf("%d lines", n)
		}
		out.Reset()
		time.Sleep(time.Second)
		log.Info("a client was refused", "reason", "expired")
		want := fmt.Sprintf("%s=%d\n", loglimit.LeftOut, 10_000-loglimit.Burst)
		if n := lines(out); n != loglimit.PerSecond || !strings.HasSuffix(out.String(), want) {
			t.Errorf("want one line with %s, got %s", want, out)
		}
		out.Reset()
		time.Sleep(time.Hour)
		log.Info("a client was refused", "reason", "expired")
		if strings.Contains(out.String(), loglimit.LeftOut) {
			t.Errorf("nothing was left out since: %s", out)
		}
	})
}

func TestLinesAboutCommandsAllPass(t *testing.T) {
	log, out := newLog()
	for i := range 1000 {
		log.With("reason", "no kind").Info("a command was given", "command", i, "reason", "spam")
	}
	if n := lines(out); n != 1000 {
		t.Errorf("%d lines", n)
	}
}

func TestAFloodOfOneKindSuppressesNoOther(t *testing.T) {
	log, out := newLog()
	with := log.With("topic", "fanfare.orders").WithGroup("g")
	for range 10_000 {
		log.Info("a client was refused", "reason", "expired")
		with.Info("a client was refused", "reason", "expired")
	}
	before := lines(out)
	if before > loglimit.Burst+2 { // a second may pass
		t.Errorf("%d lines: those of loggers with attributes are of the same kind", before)
	}
	log.Info("a client was refused", "reason", "origin")
	log.Warn("a client was refused", "reason", "expired")
	log.Error("the bus is down")
	with.Info("the bus is up")
	if n := lines(out) - before; n != 4 {
		t.Errorf("%d other lines of 4", n)
	}
}

func TestMoreDebugLinesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog()
		for range 10_000 {
			log.Debug("session ended")
		}
		if n := lines(out); n != 10*loglimit.Burst {
			t.Errorf("%d lines", n)
		}
	})
}

func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog()
		for i := range 100_000 {
			log.Info(fmt.Sprint("made up ", i))
		}
		if n := lines(out); n > 1000+loglimit.Burst {
			t.Errorf("%d lines", n)
		}
	})
}

func TestLinesOfOneSourceCanBeOneKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog()
		std := slog.NewLogLogger(loglimit.New(log.Handler()).Kind("http"), slog.LevelWarn)
		for i := range 1000 {
			std.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", i)
		}
		if n := lines(out); n != loglimit.Burst {
			t.Errorf("%d lines", n)
		}
	})
}

func TestAHandlerInFrontOfAHandlerIsThatHandler(t *testing.T) {
	h := loglimit.New(slog.NewTextHandler(os.Stderr, nil))
	if loglimit.New(h) != h {
		t.Error("it is another")
	}
}

func TestLoggingConcurrently(t *testing.T) {
	log, out := newLog()
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 1000 {
				log.Info("x")
			}
		})
	}
	work.Wait()
	if n := lines(out); n < loglimit.Burst || n > loglimit.Burst+10 {
		t.Errorf("%d lines", n)
	}
}

func BenchmarkLeftOut(b *testing.B) {
	log := slog.New(loglimit.New(slog.NewTextHandler(&bytes.Buffer{}, nil)))
	b.ReportAllocs()
	for b.Loop() {
		log.Info("a client was refused", "reason", "expired")
	}
}
