package provenance_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
	read "github.com/fanfarebus/fanfare/domain/envelope"
)

// A header of a copy has each name once. What was unreadable because one was
// there twice must not become a message by that.
func TestACopyIsReadAsWhatItWasCopiedFrom(t *testing.T) {
	for name, header := range map[string][]string{
		"a target":                {"to", "user:alice", "id", "1"},
		"two targets":             {"to", "user:alice", "to", "user:bob"},
		"one target twice":        {"to", "user:alice", "to", "user:alice"},
		"two ids":                 {"id", "1", "to", "user:alice", "id", "2"},
		"two other headers":       {"x", "1", "to", "user:alice", "x", "2"},
		"an envelope and two ids": {"id", "1", "id", "2"},
	} {
		e := &domain.Entry{Position: "1", Body: []byte(`{"to":"user:carol","user":"dora"}`)}
		for i := 0; i < len(header); i += 2 {
			e.Header = append(e.Header, domain.Field{Name: header[i], Value: header[i+1]})
		}
		copied := provenance.NewCopy(e, provenance.OriginOf(e, 1, "", false))
		c := &domain.Entry{UUID: copied.UUID, Body: copied.Payload}
		for k, v := range copied.Metadata {
			c.Header = append(c.Header, domain.Field{Name: k, Value: v})
		}
		for _, rules := range []read.Rules{{}, {UserField: "user"}} {
			want, wantErr := read.Decode(e, rules)
			got, err := read.Decode(c, rules)
			if (err == nil) != (wantErr == nil) || err == nil && !got.Equal(*want) {
				t.Errorf("%s, %+v: %+v, %v, want %+v, %v", name, rules, got, err, want, wantErr)
			}
		}
	}
}
