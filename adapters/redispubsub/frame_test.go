package redispubsub

import (
	"bytes"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// FuzzDecode decodes any payload. It must become a body unchanged, or be a frame that
// decodes to the same entry after it was encoded again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"_watermill_message_uuid":"u","metadata":{"k":"v"},"payload":"eA=="}`))
	f.Add([]byte(`{"_watermill_message_uuid":"","payload":null}`))
	f.Add([]byte(`{"to":"*"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := decode(bytes.Clone(payload))
		if !bytes.HasPrefix(payload, frameStart) {
			if !bytes.Equal(e.Body, payload) || e.UUID != "" || e.Header != nil {
				t.Fatalf("%q became %+v", payload, e)
			}
			return
		}
		m := message.NewMessage(e.UUID, e.Body)
		for _, f := range e.Header {
			m.Metadata.Set(f.Name, f.Value)
		}
		if m.Metadata.Get(transport.RawKey) != "" {
			return
		}
		again, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if b := decode(again); !bytes.Equal(b.Body, e.Body) || b.UUID != e.UUID || len(b.Header) != len(e.Header) {
			t.Fatalf("%+v became %+v", e, b)
		}
	})
}

// A frame that could be read in two ways is not unwrapped. Its payload is then no valid
// envelope, which the node counts and skips.
func TestFramesAreReadStrictly(t *testing.T) {
	for _, payload := range []string{
		`{"_watermill_message_uuid":"\ud83d","payload":"eA=="}`,
		`{"_watermill_message_uuid":"u","metadata":{"k":"\ude00"},"payload":"eA=="}`,
		`{"_watermill_message_uuid":"u","_watermill_message_uuid":"v","payload":"eA=="}`,
		`{"_watermill_message_uuid":"u","metadata":{"to":"user:a","to":"user:b"},"payload":"eA=="}`,
		`{"_watermill_message_uuid":"u","payload":"eA=="} ` + "\xff",
	} {
		if e := decode([]byte(payload)); e.UUID != "" || e.Header != nil || string(e.Body) != payload {
			t.Errorf("%s became %+v", payload, e)
		}
	}
	if e := decode([]byte(`{"_watermill_message_uuid":"u","UUID":"v","Payload":"eQ==","payload":"eA=="}`)); e.UUID != "u" || string(e.Body) != "x" {
		t.Errorf("names without regard to case: %+v", e)
	}
}
