package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A tape writes down what a frameReader finds.
type tape []string

func (t *tape) take(op byte, payload []byte) error {
	*t = append(*t, fmt.Sprintf("%d %s", op, payload))
	if op == opClose {
		return errors.New("closed")
	}
	return nil
}

// serverFrame is a frame as servers send it.
func serverFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func TestFramesAreReadInPiecesOfAnySize(t *testing.T) {
	medium, large := strings.Repeat("m", 300), strings.Repeat("l", 70_000)
	input := slices.Concat(
		serverFrame(0x81, "one"), serverFrame(0x82, medium), serverFrame(0x89, "ping"), serverFrame(0x81, ""),
		serverFrame(0x01, "a"), serverFrame(0x00, "b"), serverFrame(0x8a, ""), serverFrame(0x80, "c"), // in parts
		serverFrame(0x81, large), serverFrame(0x88, "\x03\xe8bye"),
	)
	want := []string{"1 one", "2 " + medium, "9 ping", "1 ", "10 ", "1 abc", "1 " + large, "8 \x03\xe8bye"}
	for _, size := range []int{1, 2, 3, 7, 100, 4096, len(input)} {
		var f frameReader
		var got tape
		var err error
		for part := range slices.Chunk(input, size) {
			if err = f.feed(part, &got); err != nil {
				break
			}
		}
		if !slices.Equal(got, want) || err == nil || err.Error() != "closed" {
			t.Errorf("in pieces of %d: %d frames, %v", size, len(got), err)
		}
		if cap(f.rest) > 2*len(input) {
			t.Errorf("in pieces of %d: it keeps %d bytes", size, cap(f.rest))
		}
	}
}

func TestBrokenFramesAreErrors(t *testing.T) {
	for name, input := range map[string][]byte{
		"masked":                    {0x81, 0x81, 0, 0, 0, 0, 'x'},
		"reserved bits":             serverFrame(0xc1, "x"),
		"unknown kind":              serverFrame(0x83, "x"),
		"control in parts":          serverFrame(0x09, "x"),
		"long control":              serverFrame(0x89, strings.Repeat("x", 126)),
		"nothing to continue":       serverFrame(0x80, "x"),
		"a message inside another":  append(serverFrame(0x01, "x"), serverFrame(0x81, "y")...),
		"a frame that is too large": {0x81, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a message that is too large": slices.Concat(serverFrame(0x01, strings.Repeat("x", maxMessage)),
			serverFrame(0x80, "x")),
	} {
		var f frameReader
		if err := f.feed(input, new(tape)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestClientsFramesAreMasked(t *testing.T) {
	b := appendFrame(nil, opPong, []byte("hello"))
	if b[0] != 0x8a || b[1] != 0x80|5 || len(b) != 2+4+5 {
		t.Fatalf("% x", b)
	}
	for i := range 5 {
		b[6+i] ^= b[2+i%4]
	}
	if string(b[6:]) != "hello" {
		t.Errorf("% x", b)
	}
}

// FuzzFrames: whatever comes, nothing panics, and it is read the same in one piece and
// in two.
func FuzzFrames(f *testing.F) {
	f.Add(slices.Concat(serverFrame(0x81, "one"), serverFrame(0x89, "ping")), 3)
	f.Add(slices.Concat(serverFrame(0x01, "a"), serverFrame(0x80, "b"), serverFrame(0x88, "")), 1)
	f.Add([]byte{0x81, 126, 0, 3, 'a', 'b'}, 4)
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'a'}, 9)
	f.Fuzz(func(t *testing.T, input []byte, at int) {
		at = min(max(at, 0), len(input))
		var whole, parts frameReader
		var one, two tape
		err1 := whole.feed(bytes.Clone(input), &one)
		err2 := parts.feed(bytes.Clone(input[:at]), &two)
		if err2 == nil {
			err2 = parts.feed(bytes.Clone(input[at:]), &two)
		}
		if !slices.Equal(one, two) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q, %v in one piece; %q, %v in two", one, err1, two, err2)
		}
	})
}
