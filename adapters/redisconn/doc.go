// Package redisconn holds what the Redis drivers, redisstream and
// redispubsub, have in common: how a URL names a server, a client to publish
// with, and connections to read with.
//
// # Publishing and reading
//
// Publishing uses go-redis: a [Pipeline] sends a batch of commands and checks the
// reply to each of them. [Masters.Client] is for other commands.
//
// Reading does not use go-redis, for three reasons. It reconnects and
// subscribes again by itself, which hides that messages were lost in between.
// It cannot say whether more replies have already arrived, so a reader could
// not take them along in one batch. And it allocates a map for every entry.
// Feeds therefore read from a [Conn], which speaks as much of RESP2 as they
// need.
//
// # Connections
//
// The first feeds of a driver have a connection each; [Slots] counts them. All
// further feeds share connections, up to [FeedsPerConn] on each; [SharedConns]
// assigns them. Each shared connection has one goroutine, which reads it for
// all of its feeds.
//
// # Clusters
//
// [Masters] find the server that holds a topic: the only one, or the master of the
// topic's hash slot in a Redis Cluster. They follow a topic that has moved, or that is
// just being moved, to its new master. A [History] tells a topic that was moved from one
// whose master has failed over, and may have lost something.
//
// # Failure
//
// A Conn never reconnects. It ends when it is closed, when the server is silent
// for longer than reply_timeout where a reply is due, or when a reply cannot be
// understood. The feeds on it end with it, and package transport opens new ones
// and decides whether messages were lost.
//
// [Classify] tells an unreachable server, which is a [domain.ErrBusDown], from a
// request that the server refuses.
//
// # Shutdown
//
// [Conn.Close] closes the socket at once, also under a read. [SharedConns.Close]
// closes every shared connection and waits for their goroutines.
//
// Package redisstream shows how all of this is used, from its Open on.
package redisconn
