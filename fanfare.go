// Package fanfare pushes messages to people, over whatever bus a team runs.
//
// A WebSocket session lives in one process. A service that has something to
// tell a user cannot know which of several nodes holds that user's sessions, so
// it does not ask: it publishes once, to the topic of its system, and every node
// hears it. The node that holds a session of the user delivers the message; the
// other nodes let it pass.
//
// # Nodes
//
// A [Node] consumes systems from the bus and holds the sessions of users. It is an
// HTTP handler, to be mounted in a server of your own; the command fanfare is the
// same node with a server around it. [New] makes one from a [Config], and
// [Node.Run] runs it until its context ends. The example of this package has two
// nodes that share a bus.
//
// # Publishers
//
// A [Publisher] sends messages, for services that are written in Go.
// [NewPublisher] opens one; a node publishes, too, with [Node.Publish]. A service
// that only publishes had better use package publisher, which compiles nothing of
// a node. Services in other languages publish with the bus's own client or over
// HTTP.
//
// # The bus
//
// The URL in [Config].Transport names the bus, and [Openers] are the kinds of
// buses that URLs can name. [WithDriver] and [WithPubSub] give a bus of your own;
// the example of WithPubSub shows one that is made of Watermill's parts.
//
// A [Migration] moves systems from one bus to another while both are in use; the
// example of [NewMigration] does it in memory.
//
// # What is guaranteed
//
// The README says what is guaranteed on which bus. The documentation of each
// part has the details: domain/stream of delivery and resuming,
// adapters/transport of the bus, ports/session of sessions, and ports/ws and
// ports/sse of the two ways to connect.
package fanfare
