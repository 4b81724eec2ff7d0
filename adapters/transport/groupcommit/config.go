package groupcommit

import "context"

// Config says what a Pipeline does with records. Send and MaxQueue are required.
type Config[T any] struct {
	// Send sends records in the order given. It returns nil if there was no
	// error at all, else a slice as long as records, with an error at the index
	// of each record that was not taken or for which that is unknown. It keeps
	// nothing of records, and may note in them what it learns: publishers get them
	// back. Send is called by one goroutine at a time. Its context ends with the
	// deadline of the call that leads.
	Send func(ctx context.Context, records []T) []error
	// Prepare is called before Send and may change records. It keeps nothing of
	// them. It may be nil.
	Prepare func(records []T)
	// Copy replaces records by copies that their publisher cannot change. It is
	// called for calls that wait in the queue: they may return while the Pipeline
	// still needs their records. It may be nil if nobody ever changes a record.
	Copy func(records []T)
	// Explain makes of an error of Send what the caller is told. It may be nil.
	Explain func(err error) error
	// MaxQueue is the most records that wait.
	MaxQueue int
}
