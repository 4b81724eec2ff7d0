package stream_test

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// What follows are the entries that a bus can bring, in the tests' words.

// start is the bus's confirmation that the entries after a position follow.
func (f *fixture) start(log domain.LogID, at domain.Position, t time.Time) {
	start(f.Stream, log, at, t)
}

func start(s *stream.Stream, log domain.LogID, at domain.Position, t time.Time) {
	s.Step(&domain.Entry{Kind: domain.Start, Log: log, Position: at, Time: t}, nil)
}

// startUntil is start for a feed that begins before the log's tail.
func (f *fixture) startUntil(log domain.LogID, at domain.Position, t time.Time, tail domain.Position) {
	f.Step(&domain.Entry{Kind: domain.Start, Log: log, Position: at, Time: t, Tail: tail}, nil)
}

// gap says that what was before the position in the log may be lost.
func (f *fixture) gap(reason domain.GapReason, log domain.LogID, at domain.Position, t time.Time) {
	f.Step(&domain.Entry{Kind: domain.Gap, Reason: reason, Log: log, Position: at, Time: t}, nil)
}

// record is a message in a log, with the locations that it was copied from.
func (f *fixture) record(at domain.Position, t time.Time, m *domain.Message, origins ...domain.Location) {
	record(f.Stream, at, t, m, origins...)
}

func record(s *stream.Stream, at domain.Position, t time.Time, m *domain.Message, origins ...domain.Location) {
	s.Step(&domain.Entry{Kind: domain.Record, Position: at, Time: t, Origins: origins}, m)
}

// recordWith is a message with a fingerprint, on a bus without a log.
func (f *fixture) recordWith(fingerprint domain.Fingerprint, t time.Time, m *domain.Message) {
	f.Step(&domain.Entry{Kind: domain.Record, Time: t, Fingerprint: fingerprint}, m)
}

// poison is a record that nobody can decode.
func (f *fixture) poison(at domain.Position, t time.Time, origins ...domain.Location) {
	f.Step(&domain.Entry{Kind: domain.Record, Position: at, Time: t, Origins: origins}, nil)
}

// poisonWith is poison on a bus without a log.
func (f *fixture) poisonWith(fingerprint domain.Fingerprint, t time.Time) {
	f.Step(&domain.Entry{Kind: domain.Record, Time: t, Fingerprint: fingerprint}, nil)
}

// moved says that the log continues others, which end at their locations.
func (f *fixture) moved(log domain.LogID, at domain.Position, t time.Time, tail domain.Position, origins ...domain.Location) {
	f.Step(&domain.Entry{Kind: domain.MovedHere, Log: log, Position: at, Time: t, Tail: tail, Origins: origins}, nil)
}
