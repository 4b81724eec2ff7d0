package natsconn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// FuzzMessage checks that a message that Encode does not refuse comes back unchanged after
// nats.go has written and read its headers.
func FuzzMessage(f *testing.F) {
	f.Add("uuid", "k", "v", []byte("payload"), true)
	f.Add("", "", "", []byte(nil), false)
	f.Add("u\n", "k: x", " v", []byte("\r\n"), true)
	f.Add("u", "fanfare.raw", "1", []byte("x"), false)
	f.Add("u", "nats-msg-id", "1", []byte("x"), false)
	f.Fuzz(func(t *testing.T, uuid, key, value string, payload []byte, raw bool) {
		m := message.NewMessage(uuid, payload)
		m.Metadata.Set(key, value)
		if raw {
			m.Metadata.Set(transport.RawKey, "1")
		}
		wire, err := natsconn.Encode(transport.Outgoing{Topic: "t", Message: m})
		if err != nil {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		headers, ok := over(wire.Header)
		if !ok {
			return // nats.go refuses the name
		}
		e := natsconn.Decode(wire.Data, headers)
		if string(e.Body) != string(payload) {
			t.Fatalf("%q became %q", payload, e.Body)
		}
		if len(wire.Header) == 0 {
			return
		}
		kept := key != transport.RawKey
		if e.UUID != uuid || kept != (len(e.Header) == 1) || kept && e.Header[0] != (domain.Field{Name: key, Value: value}) {
			t.Fatalf("%q, %q: %q became %+v", uuid, key, value, e)
		}
	})
}

// over writes headers as nats.go does, and reads them as it does.
func over(headers nats.Header) (nats.Header, bool) {
	if len(headers) == 0 {
		return nil, true
	}
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for k, all := range headers {
		for _, c := range []byte(k) {
			if c <= ' ' || c == ':' || c > '~' {
				return nil, false
			}
		}
		if k == "" {
			return nil, false
		}
		b.WriteString(k + ": " + all[0] + "\r\n")
	}
	b.WriteString("\r\n")
	read, err := nats.DecodeHeadersMsg([]byte(b.String()))
	return read, err == nil
}

func FuzzCheckTopic(f *testing.F) {
	for _, s := range []string{"fanfare.orders", "a..b", "a.*", ">", "$JS", " ", "é.ü", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		err := natsconn.CheckTopic(topic)
		bad := topic == "" || strings.ContainsAny(topic, " \t\r\n*>\x00") || strings.HasPrefix(topic, "$") || strings.Contains("."+topic+".", "..")
		if bad && !errors.Is(err, domain.ErrInvalid) {
			t.Fatalf("%q: %v", topic, err)
		}
	})
}
