package redisstream

import (
	"testing"

	"github.com/fanfarebus/fanfare/domain/envelope"
)

// An entry that could be decoded in two ways is unreadable, because another reader may
// decode it in the other way.
func TestWhatIsThereTwiceIsUnreadable(t *testing.T) {
	const (
		uuid  = "_watermill_message_uuid"
		alice = "\x81\xa2to\xaauser:alice"
		both  = "\x82\xa2to\xaauser:alice\xa2to\xa8user:bob"
		sent  = `{"to":"user:alice","data":1}`
	)
	for name, c := range map[string]struct {
		fields []string
		good   bool
	}{
		"data once":                      {[]string{"to", "*", "data", "1"}, true},
		"data twice":                     {[]string{"to", "*", "data", "1", "data", "1"}, false},
		"payload twice":                  {[]string{"to", "*", "payload", "1", "payload", "2"}, false},
		"payload twice, beside data":     {[]string{"to", "*", "payload", "1", "payload", "2", "data", "3"}, true},
		"two envelopes as data":          {[]string{"data", sent, "data", sent}, false},
		"two envelopes as message":       {[]string{"message", sent, "message", sent}, false},
		"what is stock":                  {[]string{uuid, "u", "metadata", alice, "payload", "1"}, true},
		"what is stock, nil metadata":    {[]string{uuid, "u", "metadata", "\xc0", "payload", sent}, true},
		"two payloads":                   {[]string{uuid, "u", "payload", sent, "payload", sent}, false},
		"two UUIDs":                      {[]string{uuid, "u", uuid, "v", "payload", sent}, false},
		"metadata twice":                 {[]string{uuid, "u", "metadata", alice, "metadata", alice, "payload", "1"}, false},
		"a name twice in metadata":       {[]string{uuid, "u", "metadata", both, "payload", "1"}, false},
		"metadata that is none, with to": {[]string{uuid, "u", "to", "*", "metadata", "\xc1", "payload", sent}, false},
	} {
		var fields []field
		for i := 0; i < len(c.fields); i += 2 {
			fields = append(fields, field{c.fields[i], []byte(c.fields[i+1])})
		}
		e := new(arena).decode(fields)
		if m, err := envelope.Decode(&e, envelope.Rules{}); (err == nil) != c.good {
			t.Errorf("%s: read as %+v, %v", name, m, err)
		}
	}
}
