package ws

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestCursorIsNotSentBehindAMessageThatCameMeanwhile(t *testing.T) {
	o := outbox{maxBytes: 1000, maxFrames: 10, busy: true} // a write is in flight, so all else waits
	offers := o.offered()
	if !o.replyIfQuiet([]byte("cursor"), offers) {
		t.Error("nothing was offered, and the notice was not taken")
	}
	if !o.offer(stream.Frame{Bytes: []byte("message")}) {
		t.Fatal("no room")
	}
	if o.replyIfQuiet([]byte("cursor"), offers) {
		t.Error("the notice was taken behind a message")
	}
}

func TestOutboxKeepsItsBoundsAndRoomForAnswers(t *testing.T) {
	frame := stream.Frame{Bytes: make([]byte, 100)}
	for _, o := range []*outbox{
		{maxBytes: 1000, maxFrames: 1 << 20, busy: true},
		{maxBytes: 1 << 20, maxFrames: 10, busy: true},
	} {
		taken := 0
		for o.offer(frame) {
			taken++
		}
		if taken != 10 || !o.behind {
			t.Errorf("%d frames were taken, want 10; behind %v", taken, o.behind)
		}
		answers := 0
		for o.reply(make([]byte, 10)) {
			answers++
		}
		if answers < replyFrames || answers > replyBytes/10 {
			t.Errorf("%d answers were taken", answers)
		}
	}
}
