// Package publisher puts messages on the bus from which Fanfare's nodes deliver
// them. It is for services that publish and hold no sessions.
//
//	p, err := publisher.New(ctx, "redis-streams://localhost:6379/0", redisstream.Openers())
//	if err != nil {
//		return err
//	}
//	defer p.Close()
//	done, err := p.Publish(ctx, "orders", publisher.Message{
//		To: []string{"user:alice"}, Type: "order.paid", Data: map[string]int{"n": 1},
//	})
//
// # What is compiled
//
// A program that imports this package compiles the drivers that it names and
// nothing of a node. Outside the standard library that is about 20 packages with the
// driver in memory, and 40 to 55 with the driver of a broker, where package fanfare
// has 160. A test keeps it so, and prints the numbers.
//
// The drivers are the packages below adapters: redispubsub, redisstream, natscore,
// jetstream, kafka and memory. Each has a function Openers. A driver of your own is
// named as [transport.Openers]{"mybus": open}, or given as it is to [NewOnDriver]; any
// Watermill Publisher becomes a driver by watermillbus.New. The package fanfare has a NewPublisher with all drivers.
//
// # Guarantees
//
//   - Publish returns without an error once the bus has taken all messages, and
//     tries once. What the bus then promises stands in docs/transports.md.
//   - The messages of one call keep their order. Concurrent calls share round trips
//     to the broker and are sent in some order.
//   - After an error that wraps [ErrBusDown] the outcome is unknown unless
//     [PublishError].Refused is set. Publishing again under the same ids is safe:
//     nodes deliver an id with the same content once, for as long as their setting
//     dedupe.age says (two minutes).
//   - A message that Publish accepts can be read by every node. All else is refused
//     before anything is sent: with [ErrInvalid], or with [ErrTooLarge] if its data is
//     over Config.MessageBytes. The bus's own limit shows only when messages are sent.
package publisher
