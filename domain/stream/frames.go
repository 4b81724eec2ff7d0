package stream

import (
	"bytes"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// A sharedFrame is what one Encoder made of a message for one target.
type sharedFrame struct {
	by Encoder
	to domain.Target
	Frame
}

// maxSharedFrames bounds how many frames of a message are shared at a time.
const maxSharedFrames = 8

// sharedIn returns the frame that an Encoder made for a target, if it is among
// those.
func sharedIn(all []sharedFrame, by Encoder, to domain.Target) (Frame, bool) {
	for i := range all {
		if f := &all[i]; f.to == to && f.by == by {
			return f.Frame, true
		}
	}
	return Frame{}, false
}

// Frames are those that sessions of a stream share. Live sessions share them
// while a message is offered. Sessions that catch up come to the same entries
// one after the other, so frames for rooms and for everyone are kept for them;
// what one user is sent again, nobody else wants.
type frames struct {
	live []sharedFrame  // of the message that is being offered
	when metric.Stamp   // when that was read from the bus
	read domain.Message // the message that is being encoded; it points into the window, see forgetRead

	kept []keptFrame // nil while nobody catches up
	size int         // bytes of kept, and of what it refers to
	used bool        // since the last rest
}

// A keptFrame is that of entry n. Frames of the same entry, and of those that
// happen to have the same place, are in one set.
type keptFrame struct {
	n uint64
	sharedFrame
}

const (
	keptSets      = 256
	keptInSet     = 4 // for each entry there are up to three, as there are three Encoders
	keptFrameSize = 72
	// keptShare is the part of the node's budget that one stream's frames may
	// take.
	keptShare = 64
)

// liveFrame returns the frame of a message that is being offered, for a target.
func (s *Stream) liveFrame(m *domain.Message, enc Encoder, to domain.Target, at domain.Cursor) Frame {
	if f, ok := sharedIn(s.frames.live, enc, to); ok {
		return f
	}
	f := enc.Message(s.system, m, to, at)
	f.Message, f.Read = true, s.frames.when
	if len(s.frames.live) < maxSharedFrames {
		s.frames.live = append(s.frames.live, sharedFrame{enc, to, f})
	}
	return f
}

// forgetLive forgets the frames that live sessions have shared.
func (f *frames) forgetLive() {
	clear(f.live)
	f.live = f.live[:0]
}

// forgetRead lets go of the message that was encoded last.
func (f *frames) forgetRead() { f.read = domain.Message{} }

// frameAgain returns the frame of entry n, a message in the window, for a target.
func (s *Stream) frameAgain(n uint64, e *history.Entry, enc Encoder, to domain.Target) Frame {
	if to != domain.Everyone && to.Kind() != domain.KindRoom {
		return s.encode(e, enc, to, true)
	}
	set := s.frames.set(n)
	for i := range set {
		if f := &set[i]; f.n == n && f.to == to && f.by == enc {
			return f.Frame
		}
	}
	f := s.encode(e, enc, to, true)
	s.frames.keep(set, keptFrame{n, sharedFrame{enc, to, f}}, s.cfg.Budget.most/keptShare)
	s.settleAccount()
	return f
}

// encode has a message in the window encoded, with its cursor if it is to have
// one. Data that the Encoder returns as they are would keep much else of the
// window in memory, so they are copied.
func (s *Stream) encode(e *history.Entry, enc Encoder, to domain.Target, withCursor bool) Frame {
	m, at := &s.frames.read, domain.Cursor{}
	if p := e.Read(m); withCursor {
		at = p.Cursor
	}
	f := enc.Message(s.system, m, to, at)
	f.Message = true
	f.disown(m)
	return f
}

// encodeForPage is encode for a page of the history, which may be for anybody: then the
// frame names all targets.
func (s *Stream) encodeForPage(e *history.Entry, enc Encoder, to domain.Target) Frame {
	m := &s.frames.read
	if to == anybody {
		m.To = e.Targets() // encode leaves it
	}
	f := s.encode(e, enc, to, true)
	m.To = nil
	return f
}

// disown copies the frame's bytes if they are the message's data.
func (f *Frame) disown(m *domain.Message) {
	if len(f.Bytes) > 0 && len(m.Data) > 0 && &f.Bytes[0] == &m.Data[0] {
		f.Bytes = bytes.Clone(f.Bytes)
	}
}

// set returns the set in which the frames of entry n are.
func (f *frames) set(n uint64) []keptFrame {
	f.used = true
	if f.kept == nil {
		f.kept = make([]keptFrame, keptSets*keptInSet)
		f.size = keptFrameSize * len(f.kept)
	}
	const odd = 0x9e3779b97f4a7c15 // spreads numbers that have a common factor
	i := n * odd >> 32 % keptSets * keptInSet
	return f.kept[i : i+keptInSet]
}

// keep puts a frame into a set, in place of the oldest one there, unless all
// would take more bytes than most.
func (f *frames) keep(set []keptFrame, it keptFrame, most int64) {
	oldest := &set[len(set)-1]
	grown := domain.HeapSize(cap(it.Bytes)) - domain.HeapSize(cap(oldest.Bytes))
	if int64(f.size+grown) > most {
		return
	}
	f.size += grown
	copy(set[1:], set)
	set[0] = it
}

// rest forgets the kept frames if nobody has wanted one since the last rest.
func (f *frames) rest() {
	if !f.used {
		f.kept, f.size = nil, 0
	}
	f.used = false
}
