package sse

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

func newOutbox(maxBytes, maxItems int) *outbox {
	return &outbox{maxBytes: maxBytes, maxItems: maxItems, wake: make(chan struct{}, 1)}
}

func TestCursorIsNotSentBehindAMessageThatCameMeanwhile(t *testing.T) {
	o, a := newOutbox(1000, 10), &session.Attachment{}
	offers := o.offered()
	if !o.takeIfQuiet(item{of: a, cursor: []byte("cursor")}, offers) {
		t.Error("nothing was offered, and the cursor was not taken")
	}
	if !o.offer(a, stream.Frame{Bytes: []byte("message")}, nil) {
		t.Fatal("no room")
	}
	if o.takeIfQuiet(item{of: a, cursor: []byte("cursor")}, offers) {
		t.Error("the cursor was taken behind a message")
	}
}

func TestOutboxKeepsItsBoundsAndRoomForNotices(t *testing.T) {
	for _, o := range []*outbox{newOutbox(1000, 1<<20), newOutbox(1<<20, 10)} {
		taken := 0
		for o.offer(nil, stream.Frame{Bytes: make([]byte, 100)}, nil) {
			taken++
		}
		if taken != 10 || !o.behind {
			t.Errorf("%d frames were taken, want 10; behind %v", taken, o.behind)
		}
		notices := 0
		for o.reply(make([]byte, 10)) {
			notices++
		}
		if notices < replyFrames || notices > replyBytes/10 {
			t.Errorf("%d notices were taken", notices)
		}
	}
}

func TestItemsInFlightCountUntilTheyAreSentAndARefusalIsRemembered(t *testing.T) {
	o := newOutbox(1000, 10)
	if !o.offer(nil, stream.Frame{Bytes: make([]byte, 5000)}, nil) {
		t.Fatal("one frame fits an empty outbox, whatever its size")
	}
	if queue, last := o.next(); queue == nil || last != nil {
		t.Fatal("nothing to take")
	}
	if o.offer(nil, stream.Frame{Bytes: make([]byte, 1)}, nil) {
		t.Error("there is no room while so much is being written")
	}
	if !o.sent() {
		t.Error("the refused frame is forgotten")
	}
	if o.sent() {
		t.Error("nothing was refused since")
	}
}

func TestNothingFollowsAFarewell(t *testing.T) {
	o := newOutbox(1000, 10)
	o.offer(nil, stream.Frame{Bytes: []byte("before")}, nil)
	if !o.close(farewell{code: 1}) || o.close(farewell{code: 2}) {
		t.Error("the first close counts")
	}
	if o.offer(nil, stream.Frame{Bytes: []byte("after")}, nil) || o.reply([]byte("after")) {
		t.Error("something was taken after it")
	}
	if queue, last := o.next(); len(*queue) != 1 || last.code != 1 {
		t.Errorf("%v, then %v", queue, last)
	}
}
