package ws

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestCursorIsNotSentBehindAMessageThatCameMeanwhile(t *testing.T) {
	o := outbox{maxBytes: 1000, maxFrames: 10, inFlightBytes: 1, scheduled: true} // a write is in flight
	offers := o.offered()
	if taken, _ := o.replyIfQuiet([]byte("cursor"), offers); !taken {
		t.Error("nothing was offered, and the notice was not taken")
	}
	if taken, _ := o.offer(stream.Frame{Bytes: []byte("message")}); !taken {
		t.Fatal("no room")
	}
	if taken, _ := o.replyIfQuiet([]byte("cursor"), offers); taken {
		t.Error("the notice was taken behind a message")
	}
}

func TestOutboxKeepsItsBoundsAndRoomForAnswers(t *testing.T) {
	frame := stream.Frame{Bytes: make([]byte, 100)}
	for _, o := range []*outbox{
		{maxBytes: 1000, maxFrames: 1 << 20, scheduled: true},
		{maxBytes: 1 << 20, maxFrames: 10, scheduled: true},
	} {
		taken := 0
		for ok := true; ok; taken++ {
			ok, _ = o.offer(frame)
		}
		taken--
		if taken != 10 || !o.behind {
			t.Errorf("%d frames were taken, want 10; behind %v", taken, o.behind)
		}
		answers := 0
		for ok := true; ok; answers++ {
			ok, _ = o.reply(make([]byte, 10))
		}
		answers--
		if answers < replyFrames || answers > replyBytes/10 {
			t.Errorf("%d answers were taken", answers)
		}
	}
}
