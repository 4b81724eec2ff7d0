package transport_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A rewindingLog answers Back as its test says.
type rewindingLog struct {
	*fakeLog
	back func(ctx context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error)
}

func (l rewindingLog) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (domain.Position, bool, error) {
	return l.back(ctx, topic, upTo, n)
}

func TestBackAsksTheDriver(t *testing.T) {
	d := rewindingLog{fakeLog: newLog(3)}
	var fault error
	d.back = func(_ context.Context, topic string, upTo domain.Position, n int) (domain.Position, bool, error) {
		if topic != "orders" || upTo != position(3) || n != 2 {
			t.Errorf("asked for %d entries up to %x of %s", n, string(upTo), topic)
		}
		return position(1), true, fault
	}
	bus := transport.New(d, transport.Config{})
	at, start, err := bus.Back(t.Context(), topic, domain.Location{Log: 1, Position: position(3)}, 2)
	if at != position(1) || !start || err != nil {
		t.Errorf("%x, %v, %v", string(at), start, err)
	}
	lost := &domain.GapError{Reason: domain.UnknownCursor}
	for _, tt := range []struct{ fault, want error }{
		{errNet, domain.ErrBusDown}, {lost, lost}, {domain.ErrUnsupported, domain.ErrUnsupported},
	} {
		fault = tt.fault
		_, _, err = bus.Back(t.Context(), topic, domain.Location{Position: position(3)}, 2)
		if !errors.Is(err, tt.want) {
			t.Errorf("the driver says %v, Back %v", tt.fault, err)
		}
	}
	mustClose(t, bus)
}

func TestBackIsRefused(t *testing.T) {
	rewinder := rewindingLog{fakeLog: newLog(3)}
	lossy := &fakeDriver{}
	for name, tt := range map[string]struct {
		driver transport.Driver
		topic  string
		n      int
		want   error
	}{
		"a driver that cannot": {newLog(3), topic, 1, domain.ErrUnsupported},
		"a bus without a log":  {lossy, topic, 1, domain.ErrUnsupported},
		"no entries":           {rewinder, topic, 0, domain.ErrInvalid},
		"no topic":             {rewinder, "", 1, errEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			bus := transport.New(tt.driver, transport.Config{})
			if _, _, err := bus.Back(t.Context(), tt.topic, domain.Location{}, tt.n); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			mustClose(t, bus)
			if _, _, err := bus.Back(t.Context(), topic, domain.Location{}, 1); err == nil {
				t.Error("it answers when it is closed")
			}
		})
	}
}

func TestBackEndsWithTheTransport(t *testing.T) {
	asked := make(chan struct{})
	d := rewindingLog{fakeLog: newLog(3)}
	d.back = func(ctx context.Context, _ string, _ domain.Position, _ int) (domain.Position, bool, error) {
		close(asked)
		<-ctx.Done()
		return "", false, ctx.Err()
	}
	bus := transport.New(d, transport.Config{})
	result := make(chan error, 1)
	go func() {
		_, _, err := bus.Back(context.Background(), topic, domain.Location{}, 1)
		result <- err
	}()
	<-asked
	mustClose(t, bus)
	if err := <-result; !errors.Is(err, domain.ErrClosed) {
		t.Errorf("%v", err)
	}
}
