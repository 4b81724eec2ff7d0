package ws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestCursorIsNotSentBehindAMessageThatCameMeanwhile(t *testing.T) {
	o := outbox{maxBytes: 1000, maxFrames: 10}
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
	for name, o := range map[string]*outbox{
		"bytes":  {maxBytes: 1000, maxFrames: 1 << 20},
		"frames": {maxBytes: 1 << 20, maxFrames: 10},
	} {
		if taken := countTaken(func() (bool, bool) { return o.offer(frame) }); taken != 10 || !o.behind {
			t.Errorf("%s: %d frames were taken, want 10; behind %v", name, taken, o.behind)
		}
		answers := countTaken(func() (bool, bool) { return o.reply(make([]byte, 10)) })
		if answers < replyFrames || answers > replyBytes/10 {
			t.Errorf("%s: %d answers were taken", name, answers)
		}
	}
}

func TestOutboxCountsWhatIsInFlight(t *testing.T) {
	o, b := outbox{maxBytes: 1000, maxFrames: 100}, batch{}
	frame := stream.Frame{Bytes: make([]byte, 100)}
	countTaken(func() (bool, bool) { return o.offer(frame) })
	if !o.next(&b) || b.tally.frames != 10 {
		t.Fatalf("the batch has %d frames, want 10", b.tally.frames)
	}
	if taken, _ := o.offer(frame); taken {
		t.Error("a frame was taken while as much as may wait was in flight")
	}
	if fill, more := o.written(); !fill || !more {
		t.Errorf("after the write: fill %v, more %v", fill, more)
	}
	if taken, due := o.offer(frame); !taken || due {
		t.Errorf("after the write: taken %v, due %v", taken, due)
	}
}

func countTaken(put func() (taken, due bool)) (n int) {
	for taken, _ := put(); taken; n++ {
		taken, _ = put()
	}
	return n
}

// Whatever the order of calls: what is taken leaves once and in order, a writer is sent
// exactly when there is none, and a refusal is followed by a fill.
func TestOutboxForgetsNothing(t *testing.T) {
	for round := range 300 {
		seed := uint64(round)
		r := rand.New(rand.NewPCG(seed, 0))
		o := outbox{maxBytes: 20 + r.IntN(200), maxFrames: 1 + r.IntN(6), plain: round%2 == 0}
		var b batch
		var taken, sent []string
		writer, flight, refused := false, false, false
		check := func(due bool) {
			if due == writer && due {
				t.Fatalf("seed %d: a second writer is due", seed)
			}
			writer = writer || due
			if waits := !o.isEmpty() || flight; waits && !writer {
				t.Fatalf("seed %d: something waits, and there is no writer", seed)
			}
		}
		step := func(put bool) {
			switch n := r.IntN(10); {
			case put && n < 5:
				text := fmt.Sprint(len(taken), strings.Repeat("x", r.IntN(30)))
				ok, due := o.offer(stream.Frame{Bytes: []byte(text)})
				if ok {
					taken = append(taken, text)
				}
				refused = refused || !ok
				check(due)
			case put && n == 5:
				check(o.sendControl(controlFrame(opPing, nil)))
			case !writer:
			case !flight:
				if flight = o.next(&b); !flight {
					writer = false
				} else {
					sent = append(sent, dataOf(b.buf)...)
				}
				check(false)
			default:
				fill, more := o.written()
				flight, writer, refused = false, more, refused && !fill
				check(false)
			}
		}
		for range 200 {
			step(true)
		}
		for writer {
			step(false)
		}
		if got, want := strings.Join(sent, "\n"), strings.Join(taken, "\n"); got != want {
			t.Fatalf("seed %d: sent %q, want %q", seed, got, want)
		}
		if refused {
			t.Fatalf("seed %d: a refusal was not followed by a fill", seed)
		}
	}
}

// dataOf returns the lines of the data frames in a batch, all of which are short.
func dataOf(buf []byte) (lines []string) {
	for len(buf) > 0 {
		op, size, head := buf[0]&0x0f, int(buf[1]), 2
		if size == length16 {
			size, head = int(buf[2])<<8|int(buf[3]), 4
		}
		if op == opText {
			for line := range bytes.SplitSeq(buf[head:head+size], []byte("\n")) {
				lines = append(lines, string(line))
			}
		}
		buf = buf[head+size:]
	}
	return lines
}

func TestPongsThatWaitAreBounded(t *testing.T) {
	o, b := outbox{}, batch{}
	for i := range 1000 {
		o.sendControl(controlFrame(opPong, fmt.Appendf(nil, "%0125d", i)))
	}
	o.next(&b)
	if len(b.buf) > controlBytes || !bytes.HasSuffix(b.buf, []byte("999")) {
		t.Errorf("%d bytes of pongs wait, the last is %s", len(b.buf), b.buf[len(b.buf)-3:])
	}
}

func TestNothingFollowsTheCloseFrame(t *testing.T) {
	o, b := outbox{maxBytes: 1000, maxFrames: 10}, batch{}
	o.offer(stream.Frame{Bytes: []byte("message")})
	o.close(closeFrame(1000, "first"))
	o.close(closeFrame(1001, "second"))
	if taken, _ := o.reply([]byte("answer")); taken {
		t.Error("an answer was taken after the close frame")
	}
	if !o.next(&b) || !b.last || !bytes.HasSuffix(b.buf, []byte("first")) || !bytes.Contains(b.buf, []byte("message")) {
		t.Errorf("the last batch is %q", b.buf)
	}
	if o.sendControl(controlFrame(opPing, nil)) || o.cut(closeFrame(1002, "")) {
		t.Error("something was taken after the close frame had left")
	}
	if _, more := o.written(); more {
		t.Error("something follows the close frame")
	}
}

func TestTheAnswerToTheHandshakeGoesFirstAndIsNotDropped(t *testing.T) {
	o, b := outbox{maxBytes: 1000, maxFrames: 10}, batch{}
	o.begin([]byte("answer"))
	if _, due := o.offer(stream.Frame{Bytes: []byte("message")}); due {
		t.Error("a writer was asked for while one is on its way")
	}
	for range 2 * controlBytes / 10 {
		if o.sendControl([]byte("0123456789")) {
			t.Fatal("a writer was asked for while one is on its way")
		}
	}
	if !o.next(&b) || !bytes.HasPrefix(b.buf, []byte("answer0123456789")) || !bytes.HasSuffix(b.buf, []byte("message")) {
		t.Errorf("the first batch is %.40q", b.buf)
	}
	o.sendControl(make([]byte, controlBytes))
	o.sendControl([]byte("pong"))
	if !o.next(&b) || string(b.buf) != "pong" {
		t.Errorf("the second batch is %.40q", b.buf)
	}
}

// Sessions share the bytes of a large message, so it must not be copied for each.
func TestLargeMessagesAreNotCopied(t *testing.T) {
	for _, plain := range []bool{false, true} {
		o, b := outbox{maxBytes: 1 << 30, maxFrames: 10, plain: plain}, batch{}
		large := bytes.Repeat([]byte("x"), batchBytes+1)
		o.offer(stream.Frame{Bytes: []byte("before")})
		o.offer(stream.Frame{Bytes: large})
		o.close(closeFrame(1000, ""))
		for i, want := range []struct {
			buf   int
			large bool
			last  bool
		}{{2 + len("before"), false, false}, {10, true, false}, {4, false, true}} {
			if !o.next(&b) || len(b.buf) != want.buf || b.last != want.last {
				t.Fatalf("batch %d has %d bytes, last %v; want %+v", i, len(b.buf), b.last, want)
			}
			if got := len(b.large) > 0 && &b.large[0] == &large[0]; got != want.large {
				t.Errorf("batch %d: the large message itself is in it: %v", i, got)
			}
			o.written()
		}
	}
}

func TestNoWriterIsDueWhileASessionBegins(t *testing.T) {
	o, b := outbox{maxBytes: 1000, maxFrames: 10}, batch{}
	o.begin(nil)
	if _, due := o.reply([]byte("hello")); due {
		t.Error("a writer is due for hello")
	}
	if _, due := o.offer(stream.Frame{Bytes: []byte("missed")}); due {
		t.Error("a writer is due for what was missed")
	}
	if !o.next(&b) || strings.Join(dataOf(b.buf), " ") != "hello missed" {
		t.Errorf("the first batch is %q", b.buf)
	}
	o.written()
	o.begin(nil)
	if o.next(&b) {
		t.Error("there is something to write")
	}
	if _, due := o.reply([]byte("later")); !due {
		t.Error("no writer is due after the first has found nothing")
	}
}
