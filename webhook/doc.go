// Package webhook posts what users send, and events about users, to HTTP endpoints, signed
// as [Standard Webhooks] says. docs/protocol.md describes the requests for authors of
// endpoints.
//
// # Guarantees
//
//   - Each [Endpoint] is a consumer group of its own, so one that is dead or slow delays no
//     other, and its deliveries survive the worker on a bus that keeps a log.
//   - At least once: a delivery is repeated, with the same webhook-id, until the endpoint
//     answers with 2xx or the delivery is older than [Endpoint].MaxAge. Then it is dropped,
//     counted and logged.
//   - One worker delivers what is of one user in order, and what is of different users
//     concurrently. A delivery that fails delays later ones of the same user, and others only
//     when [Config].InFlight deliveries wait. What a worker held that was killed
//     comes later, behind newer deliveries, except on Kafka.
//   - Of several workers with a [Config].Turn one delivers; nodes have such a turn.
//   - Pauses between attempts double, with full jitter, up to [Config].RetryMax, and are at
//     least what the endpoint's Retry-After says. An endpoint that answers 410 gets nothing
//     more until the worker is started again.
//   - Redirects are not followed, so an endpoint cannot send the worker elsewhere. Answers
//     are read up to a bound, and certificates are verified.
//
// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
package webhook
