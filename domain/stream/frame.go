package stream

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// A Frame is ready to be written to a client. Many sessions share its bytes:
// nobody may change them.
type Frame struct {
	Bytes  []byte // nil is no frame; an empty one is a frame like any other
	Binary bool   // not valid UTF-8, for protocols that tell text from binary

	// The Stream sets what follows, so that ports can count.

	Message bool         // a message, and not a notice
	Read    metric.Stamp // when the node read it from the bus; 0 if a session catches up with it

	// With more than four fields, or more than 32 bytes, a Frame would not be kept in
	// registers, and each delivery would cost an eighth more.
}

// An Encoder turns entries into the frames of one client protocol. Sessions
// attached with equal Encoders (==) share frames. Its methods are called with
// the stream's lock held: they must neither block nor call back. What they
// return must never change.
type Encoder interface {
	// Message encodes m for the sessions that matched the target to; m.To may be
	// nil. The frame is shared. A Frame whose Bytes are nil is not sent. A zero
	// cursor, here and in Gap, means that the client keeps the one it has.
	//
	// The message is good during the call only: nothing of it, nor of the cursor,
	// may be kept or returned, with one exception. The frame's Bytes may be
	// m.Data as they are, all of them.
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

// A Noter is an [Outbox] whose owner wants to know more of some frames. Without it,
// they are offered as all others.
type Noter interface {
	// OfferNoted is Offer for a message that wants a receipt, and for gaps. A Frame
	// without Bytes is for the owner alone, and always taken.
	OfferNoted(Frame, *Note) bool
}
