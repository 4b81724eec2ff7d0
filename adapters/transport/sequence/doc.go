// Package sequence numbers what publishers send on a bus that keeps no log, finds
// what is missing, and makes fingerprints of places there.
package sequence
