package ws_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// Opcodes, and the bit that says that a message ends.
const (
	more, text, binaryData, bye, ping, pong = 0, 1, 2, 8, 9, 10
	fin                                     = 0x80
)

// masked returns a frame as clients send it.
func masked(head byte, payload string) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func closing(code uint16, reason string) []byte {
	return masked(fin|bye, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// A rawClient sends and receives frames of its own making.
type rawClient struct {
	net.Conn
	in *bufio.Reader
}

func (n *node) raw(protocol string) *rawClient {
	n.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "ws://"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(6 * patience))
	fmt.Fprintf(conn, "GET /ws?systems=chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\nAuthorization: Bearer alice\r\n\r\n", protocol)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		n.t.Fatalf("%v %v", answer, err)
	}
	return &rawClient{conn, in}
}

// frame reads one frame from the node.
func (c *rawClient) frame() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(head[1])
	if size == 126 {
		var long [2]byte
		if _, err = io.ReadFull(c.in, long[:]); err != nil {
			return 0, nil, err
		}
		size = int(binary.BigEndian.Uint16(long[:]))
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.in, payload)
	return head[0] & 0x0f, payload, err
}

// code reads up to the close frame, and returns its code.
func (c *rawClient) code() (int, string) {
	for {
		op, payload, err := c.frame()
		switch {
		case err != nil:
			return 0, err.Error()
		case op == bye && len(payload) >= 2:
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		case op == bye:
			return 0, "no code"
		}
	}
}

func TestFramesThatBreakTheProtocolAreAnsweredWithTheirCode(t *testing.T) {
	ö := "ö"
	for name, test := range map[string]struct {
		frames [][]byte
		code   int
	}{
		"text that is not UTF-8":                 {[][]byte{masked(fin|text, "\xff\xfe")}, 1007},
		"a surrogate in UTF-8":                   {[][]byte{masked(fin|text, "\"\xed\xa0\x80\"")}, 1007},
		"text cut off in a character":            {[][]byte{masked(fin|text, `"`+ö[:1])}, 1007},
		"fragments that are not UTF-8 together":  {[][]byte{masked(text, `"`+ö[:1]), masked(fin|more, ö[:1]+`"`)}, 1007},
		"a close reason that is not UTF-8":       {[][]byte{closing(1000, "\xff")}, 1007},
		"a close frame with half a code":         {[][]byte{masked(fin|bye, "\x03")}, 1002},
		"a close code that nobody may send":      {[][]byte{closing(1005, "")}, 1002},
		"another one":                            {[][]byte{closing(999, "")}, 1002},
		"a frame without a mask":                 {[][]byte{{fin | text, 2, '{', '}', 0, 0}}, 1002},
		"a beginning that is no frame":           {[][]byte{[]byte("\xf3\x7frubbish")}, 1002},
		"a ping without a mask":                  {[][]byte{{fin | ping, 0, 0, 0, 0, 0}}, 1002},
		"a reserved opcode":                      {[][]byte{masked(fin|3, "x")}, 1002},
		"a reserved control opcode":              {[][]byte{masked(fin|11, "x")}, 1002},
		"a compressed frame":                     {[][]byte{masked(fin|0x40|text, "x")}, 1002},
		"a reserved bit":                         {[][]byte{masked(fin|0x10|text, "x")}, 1002},
		"a fragmented ping":                      {[][]byte{masked(ping, "x")}, 1002},
		"a ping of 126 bytes":                    {[][]byte{masked(fin|ping, strings.Repeat("x", 126))}, 1002},
		"a continuation of nothing":              {[][]byte{masked(fin|more, "x")}, 1002},
		"a message within a message":             {[][]byte{masked(text, "x"), masked(fin|text, "y")}, 1002},
		"a frame that says it has 2^63 bytes":    {[][]byte{{fin | text, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}}, 1002},
		"fragments that are too large together":  {[][]byte{masked(text, strings.Repeat("x", 60_000)), masked(more, strings.Repeat("x", 60_000))}, 1009},
		"a message that is too large":            {[][]byte{masked(fin|text, strings.Repeat("x", 200_000))}, 1009},
		"a good close":                           {[][]byte{closing(1000, "bye "+ö)}, 1000},
		"a close code of the application":        {[][]byte{closing(4999, "")}, 4999},
		"a close between the parts of a message": {[][]byte{masked(text, "{"), closing(1001, "")}, 1001},
		"pings between the parts of a message":   {[][]byte{masked(text, "{"), masked(fin|ping, "x"), masked(fin|more, "}"), closing(1000, "")}, 1000},
		"an empty text, which is no op":          {[][]byte{masked(fin|text, ""), closing(1000, "")}, 1000},
		"an empty message in empty parts":        {[][]byte{masked(text, ""), masked(more, ""), masked(fin|more, ""), closing(1000, "")}, 1000},
		"UTF-8 that is cut by a fragment":        {[][]byte{masked(text, `"`+ö[:1]), masked(fin|more, ö[1:]+`"`), closing(1000, "")}, 1000},
	} {
		for _, protocol := range []string{ws.V1, ws.Plain} {
			n := serve(t, config{})
			for _, pieces := range []bool{false, true} {
				all := bytes.Join(test.frames, nil)
				if pieces && len(all) > 1000 {
					continue
				}
				c := n.raw(protocol)
				for len(all) > 0 {
					part := len(all)
					if pieces {
						part = 1
					}
					if _, err := c.Write(all[:part]); err != nil {
						break
					}
					all = all[part:]
				}
				if code, reason := c.code(); code != test.code {
					t.Errorf("%s, %s: closed with %d %s, want %d", name, protocol, code, reason, test.code)
				}
				_ = c.Close()
			}
			poll(t, func() bool { return n.registry.Stats().Sessions == 0 })
			if test.code == 1002 || test.code == 1007 {
				poll(t, func() bool { return n.registry.Stats().Closed[test.code] >= 1 })
			}
		}
	}
}

// Too many frames end the session, whatever they are: also those that make up no
// message.
func TestTooManyFramesEndTheSession(t *testing.T) {
	for name, flood := range map[string]struct{ first, frame []byte }{
		"pings":                   {nil, masked(fin|ping, "")},
		"long pings":              {nil, masked(fin|ping, strings.Repeat("p", 125))},
		"pongs":                   {nil, masked(fin|pong, "")},
		"empty fragments":         {masked(text, ""), masked(more, "")},
		"fragments of one byte":   {masked(text, ""), masked(more, "x")},
		"empty binary fragments":  {masked(binaryData, ""), masked(more, "")},
		"pings between fragments": {masked(text, ""), slices.Concat(masked(more, ""), masked(fin|ping, ""))},
	} {
		for _, protocol := range []string{ws.V1, ws.Plain} {
			n := serve(t, config{})
			c := n.raw(protocol)
			ended := make(chan error, 1)
			go func() {
				_, err := c.Write(flood.first)
				burst := bytes.Repeat(flood.frame, 100)
				for i := 0; err == nil && i < 10_000; i++ {
					_, err = c.Write(burst)
				}
				ended <- err
			}()
			if code, reason := c.code(); code != session.ClosePolicy {
				t.Errorf("%s, %s: closed with %d %s", name, protocol, code, reason)
			}
			poll(t, func() bool { return n.registry.Stats().Closed[session.ClosePolicy] == 1 })
			if in := n.server.Stats().FramesIn; in > 2000 || n.server.Stats().Breaches != 1 {
				t.Errorf("%s, %s: %d frames were looked at", name, protocol, in)
			}
			_ = c.Close()
			<-ended // it was cut off, or the system's buffers have taken everything
		}
	}
}

// A client that keeps to the rates is answered, however it fragments its messages.
func TestFragmentsAndPingsWithinTheRateAreServed(t *testing.T) {
	n := serve(t, config{ws: ws.Config{ControlRate: 10}})
	c := n.raw(ws.V1)
	for i := range 10 {
		op := fmt.Sprintf(`{"op":"leave","ref":%d,"system":"chat","room":"x"}`, i)
		frames := masked(text, op[:1])
		for _, r := range op[1:] {
			frames = append(frames, masked(more, string(r))...)
		}
		frames = append(frames, masked(fin|ping, "are you there?")...)
		if _, err := c.Write(append(frames, masked(fin|more, "")...)); err != nil {
			t.Fatal(err)
		}
	}
	answers, pongs := 0, 0
	for answers < 10 || pongs < 10 {
		op, payload, err := c.frame()
		if err != nil {
			t.Fatalf("after %d answers and %d pongs: %v", answers, pongs, err)
		}
		if op == pong && string(payload) == "are you there?" {
			pongs++
		}
		answers += bytes.Count(payload, []byte(`{"op":"ok"`))
	}
}

// A client that pings each second is not closed when all pings of a minute come at once
// because the connection was stuck.
func TestPingsThatWaitedForALinkAreAnswered(t *testing.T) {
	const waited = 60
	n := serve(t, config{})
	c := n.raw(ws.V1)
	if _, err := c.Write(bytes.Repeat(masked(fin|ping, "still there?"), waited)); err != nil {
		t.Fatal(err)
	}
	for pongs := 0; pongs < waited; {
		op, payload, err := c.frame()
		if err != nil || op == bye {
			t.Fatalf("after %d pongs: %d %q %v", pongs, op, payload, err)
		}
		if op == pong {
			pongs++
		}
	}
}

// A client that is closed and goes on sending is cut off soon.
func TestClientThatSendsOnAfterItsCloseIsCutOff(t *testing.T) {
	n := serve(t, config{ws: ws.Config{CloseWait: time.Hour}})
	c := n.raw(ws.V1)
	go func() {
		_, err := c.Write(bytes.Repeat(masked(fin|text, "nonsense"), 10))
		big := masked(fin|text, strings.Repeat("x", 60_000))
		for i := 0; err == nil && i < 10_000; i++ {
			_, err = c.Write(big)
		}
	}()
	poll(t, func() bool { return n.registry.Stats().Closed[session.ClosePolicy] == 1 })
	if in := n.server.Stats().FramesIn; in > 1000 {
		t.Errorf("%d frames were looked at", in)
	}
}

// Any bytes are either valid frames or end the session, whatever the pieces are in which
// they come.
func FuzzFrames(f *testing.F) {
	f.Add(slices.Concat(masked(text, "{"), masked(fin|ping, "x"), masked(fin|more, "}"), closing(1000, "bye")), uint64(1))
	f.Add([]byte{fin | text, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint64(2))
	f.Add(closing(1000, "\xff"), uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		whole, wholeFrames := ws.FollowFrames(data)
		rng := rand.New(rand.NewPCG(seed, 0))
		var pieces [][]byte
		for rest := data; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if code, frames := ws.FollowFrames(pieces...); code != whole || frames != wholeFrames {
			t.Fatalf("%x: %d after %d frames, in pieces %d after %d", data, whole, wholeFrames, code, frames)
		}
		if whole != 0 && whole != session.CloseProtocol && whole != session.CloseNotUTF8 {
			t.Fatalf("code %d", whole)
		}
	})
}
