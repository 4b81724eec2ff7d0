// Package natsconn is what the NATS transports share: a server's address from a
// URL, connections to it that never reconnect, the mailbox that a feed reads
// from, what headers carry, and groups.
//
// nats.go reconnects by itself, subscribes again, and keeps what is published
// meanwhile in a buffer: that hides what was lost, and calls published what may
// never arrive. So its reconnecting is switched off: a connection ends, and with
// it every feed on it, and whoever needs one next gets a new one.
package natsconn
