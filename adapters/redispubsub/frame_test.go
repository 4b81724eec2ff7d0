package redispubsub

import (
	"bytes"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// FuzzDecode: whatever comes is a body, or a frame that says the same when it
// is framed again.
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
