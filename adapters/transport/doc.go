// Package transport makes a broker usable as Fanfare's bus. A broker brings a
// Driver of a few methods; Transport adds what all of them need, once:
//
//   - Two faces over one reader loop: Subscribe is Watermill's, one message at
//     a time and the next one after the ack; Batches passes what one read
//     returned as one Watermill message (domain.EntriesFrom).
//   - Order: entries come in the log's order, records once each per
//     subscription unless they were nacked.
//   - Confirmation: Subscribe returns when the broker has confirmed. What is
//     published afterwards arrives.
//   - Continuity: after an interruption the loop goes on exactly where it was,
//     or puts a domain.Gap into the batches. Nothing is skipped silently.
//   - Loss: on a bus without a log, what is published with RawKey is numbered,
//     for each publisher and topic, and a high-water mark follows a second after
//     the last message. A hole in the numbers is a Gap; what comes after it
//     was said to be missing, or comes twice, is dropped. Subscribers see
//     neither numbers nor marks. What stays unseen is the last messages of a
//     publisher that ends, and the first ones of one nobody has heard before.
//   - Landmarks: where such a bus has one order for all, each record of a batch
//     has a domain.Landmark, so that sessions can go on elsewhere.
//   - Deafness: while Run runs, Deaf says whether a subscription is behind
//     though the broker answers.
//   - Publishing: concurrent calls share one pipeline (group commit), in order
//     per topic, each call with its own result, bounded in time, tried once.
//   - Closing: Close is idempotent, ends every subscription and waits for its
//     goroutines.
package transport
