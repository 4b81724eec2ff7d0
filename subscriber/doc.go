// Package subscriber receives what users send to business systems, and events about these
// users: who came and who went. It is for services behind Fanfare's nodes.
//
//	s, err := subscriber.New(ctx, "redis-streams://localhost:6379/0", "chat-service",
//		redisstream.Openers())
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	return s.Inbound(ctx, func(ctx context.Context, m *subscriber.Message) error {
//		return store.Append(ctx, m.User, m.Type, m.Data)
//	}, "chat")
//
// # Ack and nack
//
// A message is acked when its handler returns nil. When the handler returns an error, the
// message is nacked: it comes again after a pause, which doubles with each failure. Later
// messages of the same user wait for it, those of other users do not. There is no limit to
// how often it comes; a handler that gives up returns nil, and [Message.Attempt] helps it to
// decide. A [RetryError] says when to try again.
//
// # Guarantees
//
//   - At least once on a bus that keeps a log (Redis Streams, JetStream, Kafka): a message
//     may come again after a crash of this process or of the broker, with the same ID. At
//     most once on Redis pub/sub and core NATS: what is not acked when the process ends is
//     lost.
//   - The members of a group share the messages. On Redis pub/sub there are no groups, and
//     each member receives everything; [Subscriber.Shared] says whether they share.
//   - One Subscriber works on the messages of a user one after the other, in the bus's order,
//     and on those of Config.Concurrency users at once. Between several members of a group
//     there is no order, except on Kafka, where one member receives and the others stand by.
//     What a process held that was killed comes later, behind newer messages of the same
//     users: after claim_after on Redis Streams, after 30 s on JetStream. On Kafka it comes in
//     order.
//   - At most Config.InFlight messages of a system are in memory. When that many wait, no
//     more are taken from the bus.
//   - What cannot be decoded is counted, logged and passed over: [Config].Poison.
package subscriber
