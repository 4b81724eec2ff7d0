package stream

import "github.com/fanfarebus/fanfare/domain"

// A Frame is ready to be written to a client. Many sessions share its bytes:
// nobody may change them.
type Frame struct {
	Bytes  []byte // nil is no frame; an empty one is a frame like any other
	Binary bool   // not valid UTF-8, for protocols that tell text from binary
}

// An Encoder turns entries into the frames of one client protocol. Sessions
// attached with equal Encoders (==) share frames. Its methods are called with
// the stream's lock held: they must neither block nor call back. What they
// return must never change.
type Encoder interface {
	// Message encodes m for the sessions that matched the target to. The frame
	// is kept and shared. A Frame whose Bytes are nil is not sent. A zero
	// cursor, here and in Gap, means that the client keeps the one it has.
	Message(system domain.System, m *domain.Message, to domain.Target, at domain.Cursor) Frame
	// Gap encodes the notice of a gap, anew for each session. A Frame whose
	// Bytes are nil means that the protocol has no such notice.
	Gap(system domain.System, reason domain.GapReason, at domain.Cursor) Frame
}

// An Outbox takes frames for one session. Offer is the only call that a
// [Stream] makes with its lock held: it must neither block nor call back, and
// it closes nothing. False means that the outbox is full and took nothing: its
// owner then calls [Attachment.Fill] once there is room again.
type Outbox interface {
	Offer(Frame) bool
}

// A sharedFrame is what one Encoder made of an entry for one target.
type sharedFrame struct {
	by Encoder
	to domain.Target
	Frame
}

const (
	// frameSize is what a sharedFrame takes beside its bytes.
	frameSize = 64
	// maxSharedFrames bounds how many frames an entry keeps. A message to a
	// thousand users has a frame for each, with hardly anybody to share it with.
	maxSharedFrames = 8
)

// frame returns the entry's frame for a target: one that is kept already, or a
// new one, which is kept if keep says that others may want it, too.
func (s *Stream) frame(e *entry, enc Encoder, to domain.Target, keep bool) Frame {
	frames := e.Payload.frames
	for i := range frames {
		if f := &frames[i]; f.to == to && f.by == enc {
			return f.Frame
		}
	}
	f := enc.Message(s.system, e.Message, to, e.Cursor)
	if keep && len(frames) < maxSharedFrames {
		e.Payload.frames = append(frames, sharedFrame{enc, to, f})
		n := frameSize + domain.HeapSize(cap(f.Bytes))
		s.history.Grow(e, n)
		s.cfg.Budget.add(n)
	}
	return f
}
