// Package client receives messages from Fanfare, and sends messages, over a
// WebSocket. It speaks the protocol fanfare.v1.json, which docs/protocol.md
// describes, and imports nothing of a node.
//
//	c, err := client.New(client.Config{
//		URL:     "https://push.example.com",
//		Systems: []string{"orders"},
//		Token:   func(ctx context.Context) (string, error) { return mint(ctx, "alice") },
//		Handler: client.Handler{
//			Message: func(ctx context.Context, m *client.Message) error {
//				return show(m.Type, m.Data)
//			},
//			Gap: func(ctx context.Context, g *client.Gap) error {
//				return reload(ctx, g.After)
//			},
//		},
//	})
//	if err != nil {
//		return err
//	}
//	return c.Run(ctx)
//
// # Guarantees
//
//   - The functions of the [Handler] are called one at a time, in the order in
//     which the node sent what they are called for, by the goroutine that called
//     [Client.Run].
//   - They may block. A bounded queue then fills, and the client stops reading. The
//     node lets the session catch up later or, if that takes too long, closes it; then
//     the client connects again and continues where it was.
//   - When the connection is lost, the client connects again by itself and receives
//     what it missed, or a [Gap]. Before that it waits for a random time that grows
//     with each failure, and at least as long as the node asked for.
//   - When a node asks its clients to go, because it drains or has too many sessions, the
//     client connects to another node first, and continues there without a pause: see
//     docs/protocol.md, goaway. The Handler is told the new session's [Hello], and no loss.
//   - The cursor of a message is in [Client.Cursors] once Handler.Message has returned
//     without an error, and not before. A program that saves the cursors, and starts
//     again with them, sees every message at least once.
//   - What was asked for with [Client.Join] and [Client.Watch] is asked for again on each
//     new connection. What is watched is then told anew. Rooms into which the server has
//     put the user are not asked for: the node tells them ([Handler].Joined).
//   - With a cursor in Config.From, which [Config.FetchCursor] returned before the program read
//     a state, nothing is missed between that state and the session.
//   - A message that wants a receipt is acknowledged once Handler.Message, or Handler.Op
//     without it, has returned without an error, on the session that brought it. What was
//     handled in the moment in which ctx ended may not be acknowledged.
//   - When the server disconnects the user, Run ends with the reason, or the client fetches
//     a new token and connects again, as the server said: see [CloseError].
//   - When Run returns, all its goroutines have ended.
package client
