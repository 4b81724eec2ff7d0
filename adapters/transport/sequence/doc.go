// Package sequence notices what gets lost on a bus that keeps no log. Publishers
// number their messages; readers find out which numbers did not arrive, and make
// fingerprints by which two of them recognise the same point.
//
// The package knows topics, payloads and entries. Publishing and reading are the
// affair of package transport, which uses it.
//
// # Numbers
//
// A [Numberer] gives each message of a topic the next number, from 1, and puts it
// into the envelope as its first field, where it is found without reading the
// rest:
//
//	{"stamp":"0123456789abcdef:1","to":…
//
// The hexadecimal digits name the publisher; they are new for each process and
// each topic in it. Payloads that are no JSON objects are not numbered.
//
// A message that is lost shows as a missing number when the next one arrives. So
// that the last messages of a burst are covered, too, a high-water mark follows a
// second after the last message, and again after pauses that double up to
// [HighWaterMarkMax]. A high-water mark is no message. It carries the number of the
// publisher's last message:
//
//	{"stamp":"0123456789abcdef:7","mark":true}
//
// # What a reader sees
//
// A [Checker] takes numbers and high-water marks out of what one subscription reads:
//
//   - Where a number is missing, it puts a [domain.Gap] before what follows.
//   - A message that comes again is dropped, and so is one that arrives after it
//     was told missing: that gap stands for it.
//   - A message without a number passes unchanged.
//
// Two losses stay unseen: the last messages of a publisher that ends before its
// high-water mark, and the first ones of a publisher that nobody has heard before. If more
// than 2,048 publishers send on one topic, the one that was quiet for longest is
// forgotten and counts as one that was never heard.
//
// # Fingerprints
//
// Where all readers see one order, the Checker gives each record a
// [domain.Fingerprint]. Nodes that give a record the same fingerprint have heard the
// same numbers up to it, so a session can go on from there on any of them.
//
// The tests of package transport show all of this over a bus that loses, repeats
// and delays (lossy_test.go, fingerprint_test.go).
package sequence
