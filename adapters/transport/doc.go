// Package transport makes a broker usable as Fanfare's bus. A broker brings a
// [Driver] of a few methods; [Transport] adds what every bus needs, once.
//
// # Writing a driver
//
// driver.go is the whole contract: [Driver], [Feed], [Guarantees], and the optional
// interfaces with what their absence means. An [Opener] makes a driver from a URL,
// whose parameters package dsn reads. docs/transports.md leads through it, and
// test/conformance is the suite that every driver must pass. adapters/memory is the
// shortest complete driver.
//
// # What a Transport guarantees
//
//   - Order: entries come in the log's order, each record once per subscription
//     unless it was nacked (subscription_test.go).
//   - Confirmation: [Transport.Subscribe] returns when the broker has confirmed.
//     What is published afterwards arrives.
//   - Continuity: after an interruption a subscription goes on exactly where it was,
//     or passes on a [domain.Gap]. Nothing is skipped silently
//     (subscription_test.go).
//   - Loss: on a bus without a log, what is published with [RawKey] is numbered, and
//     missing numbers become a [domain.Gap]. Package sequence says what that covers.
//     Where such a bus has one order for all, records have a [domain.Fingerprint]
//     (lossy_test.go, fingerprint_test.go).
//   - Lag: while [Transport.Run] runs, [Transport.Deaf] says whether a subscription
//     lags though the broker answers (lag_test.go).
//   - Publishing: concurrent calls share round trips (package groupcommit), in order
//     per topic, each with its own outcome, bounded in time, tried once
//     (publish_test.go).
//   - Trimming: logs that the broker does not keep short itself are trimmed, as long
//     as somebody here follows them or publishes to them (trim_test.go).
//   - Closing: [Transport.Close] ends every subscription and waits for every
//     goroutine.
//
// # Two ways to subscribe
//
// [Transport.Subscribe] is Watermill's subscription: one message at a time, the next
// one after the ack. [Transport.Batches] passes on what one read has returned as one
// Watermill message; that is what nodes use. Both are handed out from the same
// reader goroutine.
//
// # Reading a log again
//
// [Transport.Replay] goes on from a position, [Transport.Scan] reads up to the
// tail, and [Transport.Locate] finds where positions of other logs are in one that
// holds copies (package provenance).
//
// # Publishing for users
//
// [EnvelopePublisher] turns messages of the domain into envelopes on a bus, and
// limits what users send to business systems ([InboundLimits]).
//
// The example of package memory shows a Transport in use.
package transport
