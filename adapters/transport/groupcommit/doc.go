// Package groupcommit lets concurrent publishes share one round trip to a
// broker.
package groupcommit
