package redisstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// If the server has a command under another name, or not at all (rename-command), the
// error or the log names that command and says what to do. Nothing is said to be published
// that is not.
func TestARenamedCommandIsNamed(t *testing.T) {
	const inbound = rightsTopic + domain.InboundSuffix
	publish := func(w worker) error {
		bus := transport.New(w.as("node", ""), transport.Config{PublishOnly: true})
		err := bus.Publish(rightsTopic, message.NewMessage("1", []byte("one")))
		if !errors.Is(err, domain.ErrBusRefused) {
			t.Errorf("published without XADD: %v", err)
		}
		return errors.Join(err, bus.Close())
	}
	node := func(w worker) error { return nodeWork(w, w.as("node", "?retention=1m")) }
	join := func(w worker) error {
		group, err := w.as("consumer", "").(transport.GroupDriver).Group("g")
		w.must(err)
		_, err = group.Subscribe(t.Context(), inbound)
		return errors.Join(err, group.Close())
	}
	read := func(w worker) error {
		group, err := w.as("consumer", "").(transport.GroupDriver).Group("g")
		w.must(err)
		_, err = group.Subscribe(t.Context(), inbound)
		driverkit.Poll(t, func() bool { return w.log.Contains("a consumer group cannot read") })
		return errors.Join(err, group.Close())
	}
	for command, work := range map[string]func(w worker) error{
		"XADD": publish, "XGROUP": join, "XREADGROUP": read, "XPENDING": read, "PING": node, "MULTI": node,
		"EXEC": node, "XINFO": node, "XREAD": node, "XRANGE": node, "XREVRANGE": node, "TIME": node, "XTRIM": node,
	} {
		for _, other := range []string{"", "hidden"} {
			t.Run(command+" "+other, func(t *testing.T) {
				t.Parallel()
				s := broker.Redis(t, "--rename-command", command, other)
				w := worker{kit{t, s, nil, s.Client()}, &driverkit.Log{}}
				w.SetUser("node")
				w.SetUser("consumer")
				err := work(w)
				if said := fmt.Sprint(err, w.log); !strings.Contains(said, "has "+command+" disabled or renamed") {
					t.Errorf("nobody names it: %s", said)
				}
			})
		}
	}
}
