package stream

import "github.com/fanfarebus/fanfare/domain"

// A Frame is ready to be written to a client. Many sessions share its bytes:
// nobody may change them.
type Frame struct {
	Bytes  []byte // nil is no frame; one that is empty is a frame like any other
	Binary bool   // not valid UTF-8, for protocols that tell text from binary
}

// An Encoder turns entries into the frames of one client protocol. Sessions
// attached with equal Encoders (==) share frames. Its methods are called with
// the stream's lock held: they neither block nor call back, and what they
// return must be good for ever.
type Encoder interface {
	// Message encodes m for the sessions that matched the target to. The frame
	// is kept and shared. A Frame whose Bytes are nil is not sent. A zero cursor, here
	// and in Gap, means that the client is to keep the one it has.
	Message(system domain.System, m *domain.Message, to domain.Target, at domain.Cursor) Frame
	// Gap encodes the notice of a gap; it is made anew for each session. A
	// Frame whose Bytes are nil means that the protocol has no such notice.
	Gap(system domain.System, reason domain.GapReason, at domain.Cursor) Frame
}

// An Outbox takes frames for one session. Offer is the only call that a
// Stream makes with its lock held: it never blocks and never calls back, and
// it closes nothing. False means full, and that nothing was taken: the owner
// then calls Attachment.Fill once there is room again.
type Outbox interface {
	Offer(Frame) bool
}

// maxSharedFrames bounds what an entry keeps encoded. A message to a thousand
// users has a frame for each, and next to nobody to share it with.
const maxSharedFrames = 8

// frame returns the entry's frame for a target: one that is kept already, or a
// new one. That is kept, too, if others may want it.
func (s *Stream) frame(e *entry, enc Encoder, to domain.Target, keep bool) Frame {
	for i := range e.frames {
		if f := &e.frames[i]; f.to == to && f.by == enc {
			return f.Frame
		}
	}
	f := enc.Message(s.system, e.msg, to, e.Cursor)
	if keep && len(e.frames) < maxSharedFrames {
		e.frames = append(e.frames, sharedFrame{enc, to, f})
		n := frameSize + domain.HeapSize(cap(f.Bytes))
		e.size += n
		s.window.bytes += n
		s.budget(e).add(n)
	}
	return f
}
