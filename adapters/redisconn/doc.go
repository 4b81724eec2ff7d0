// Package redisconn is what the Redis transports share: a server's address
// from a URL, a client to publish with, and a connection to follow with.
//
// Publishing uses go-redis. Following does not: go-redis reconnects and
// subscribes again by itself, which hides that something was lost; it cannot
// say what else has already arrived; and it allocates a map for every entry.
// So feeds use a Conn, which speaks as much of RESP2 as they need, never
// reconnects, and ends when it is closed or cannot be trusted. The first feeds
// have one each, further ones share some: see Slots and Lanes.
package redisconn
