// Package client receives from Fanfare, and sends to it, over fanfare.v1.json
// on a WebSocket.
//
//	c, err := client.New(client.Config{
//		URL:     "https://push.example.com",
//		Systems: []string{"orders"},
//		Token:   func(ctx context.Context) (string, error) { return mint(ctx, "alice") },
//		Handler: client.Handler{
//			Message: func(ctx context.Context, m *client.Message) error { return show(m.Type, m.Data) },
//			Gap:     func(ctx context.Context, g *client.Gap) error { return reload(ctx, g.After) },
//		},
//	})
//	...
//	err = c.Run(ctx)
//
// Guarantees:
//
//   - The functions of the Handler are called one at a time, in the order in
//     which the node spoke, by the goroutine that called Run.
//   - They may take their time: a bounded queue fills, then the client reads no
//     more, and the node lets the session catch up or, if that takes too long,
//     closes it. The client comes back and goes on where it was.
//   - When the connection is lost, the client comes back by itself and gets what
//     it missed, or a Gap. It waits a random time that grows, and as long as a
//     node asked it to.
//   - A message's cursor is in Cursors once Message has returned without an
//     error, and not before: whoever saves Cursors and starts again with them
//     sees every message at least once.
//   - No goroutine outlives Run.
package client
