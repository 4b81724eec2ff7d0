package redispubsub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Nodes and publishers need exactly the rights that docs/operating.md lists.
func TestTheDocumentedRightsAreNeededAndDo(t *testing.T) {
	const topic = "fanfare.orders"
	publishes := func(bus *transport.Transport) error {
		return errors.Join(bus.Publish(topic, driverkit.Raw("one")), bus.Publish(topic+domain.InboundSuffix, driverkit.Raw("in")))
	}
	for user, work := range map[string]func(context.Context, *transport.Transport, transport.Driver) error{
		"channels-publisher": func(_ context.Context, bus *transport.Transport, _ transport.Driver) error {
			return publishes(bus)
		},
		"channels-node": func(ctx context.Context, bus *transport.Transport, d transport.Driver) error {
			batches, err := bus.Batches().Subscribe(ctx, topic)
			if err != nil {
				return err
			}
			// A feed that hears nothing for two seconds sends a PING, as Driver.Ping
			// does.
			if err := errors.Join(d.Ping(ctx), publishes(bus)); err != nil {
				return err
			}
			for {
				select {
				case m := <-batches:
					entries, _ := domain.EntriesFrom(m.Context())
					m.Ack()
					for _, e := range entries {
						if string(e.Body) == "one" {
							return nil
						}
					}
				case <-ctx.Done():
					return fmt.Errorf("nothing came: %w", ctx.Err())
				}
			}
		},
	} {
		for _, left := range append(broker.Grants(t, user), "", "&fanfare.*") {
			if left == "+unsubscribe" {
				continue // on shared connections only, where a failure is another feed's gap
			}
			for _, query := range []string{"", shared} {
				t.Run(user+query+" without "+left, func(t *testing.T) {
					t.Parallel()
					s := broker.Redis(t)
					s.SetUser(user, left)
					log := &driverkit.Log{}
					d := driverkit.OpenWithLogger(t, redispubsub.Open, "redis://"+user+":secret@"+s.Addr()+query, log.Logger())
					bus := transport.New(d, transport.Config{NoNumbers: true, Logger: log.Logger()})
					defer func() { _ = bus.Close() }()
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					err := work(ctx, bus, d)
					if (err == nil) != (left == "") {
						t.Error(err)
					}
					advice := "ACL SETUSER " + user + " " + strings.Replace(left, "fanfare.*", topic, 1)
					if left != "" && !strings.Contains(fmt.Sprint(err, log), advice) {
						t.Errorf("nobody says how to allow %s: %v, %s", left, err, log)
					}
				})
			}
		}
	}
}

// If the server has a command under another name, or not at all (rename-command), the
// error names that command.
func TestARenamedCommandIsNamed(t *testing.T) {
	for _, command := range []string{"PUBLISH", "SUBSCRIBE"} {
		for _, query := range []string{"", shared} {
			s := broker.Redis(t, "--rename-command", command, "")
			d := open(t, s.URL("redis")+query)
			bus := transport.New(d, transport.Config{})
			err := bus.Publish("fanfare.orders", driverkit.Raw("one"))
			if command == "SUBSCRIBE" {
				_, err = bus.Batches().Subscribe(t.Context(), "fanfare.orders")
			}
			if !driverkit.Says(err, "has "+command+" disabled or renamed", domain.ErrBusRefused, domain.ErrBusDown) {
				t.Errorf("%s%s: %v", command, query, err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
