package kafka

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// unpack reads the records of a leader's answer.
func unpack(t *testing.T, batches []byte) ([]*kgo.Record, error) {
	t.Helper()
	part := kmsg.NewFetchResponseTopicPartition()
	part.RecordBatches = batches
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &part, kgo.DefaultDecompressor(), nil)
	return got.Records, got.Err
}

// A batch of any message can be read again, and holds the same message.
func FuzzWhatIsPublishedComesBack(f *testing.F) {
	f.Add("u", "name", "value", []byte("body"), false, uint8(0))
	f.Add("", "", "\x00\xff", []byte{}, true, uint8(3))
	f.Add("u", transport.RawKey, "1", []byte(`{"to":"*"}`), false, uint8(4))
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	f.Fuzz(func(t *testing.T, uuid, name, value string, body []byte, raw bool, codec uint8) {
		m := message.NewMessage(uuid, body)
		m.Metadata[name] = value
		if raw {
			m.Metadata[transport.RawKey] = "1"
		}
		r, err := encode(m)
		if (err != nil) != (name == uuidHeader) {
			t.Fatalf("encode: %v", err)
		}
		if err != nil {
			return
		}
		compress, err := compressor(names[int(codec)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		packed := encodeBatch([]kmsg.Record{r, {Value: []byte("second")}}, time.UnixMilli(5), compress)
		if int(binary.BigEndian.Uint32(packed[8:])) != len(packed)-12 {
			t.Fatal("the length is wrong")
		}
		got, err := unpack(t, packed)
		if err != nil || len(got) != 2 {
			t.Fatalf("%d records, %v", len(got), err)
		}
		e := decode(got[0])
		want := domain.Entry{Position: position(1), Time: time.UnixMilli(5).UTC(), UUID: uuid, Body: body}
		if name != transport.RawKey {
			want.Header = []domain.Field{{Name: name, Value: value}}
		}
		if m.Metadata.Get(transport.RawKey) != "" && len(want.Header) == 0 {
			want.UUID = ""
		}
		if e.Position != want.Position || !e.Time.Equal(want.Time) || e.UUID != want.UUID || !bytes.Equal(e.Body, want.Body) ||
			len(e.Header) != len(want.Header) || len(e.Header) == 1 && e.Header[0] != want.Header[0] {
			t.Fatalf("got %+v, want %+v", e, want)
		}
		if string(got[1].Value) != "second" {
			t.Fatalf("the second is %q", got[1].Value)
		}
		if size := sizeOf(&r); size < len(r.AppendTo(nil)) {
			t.Fatalf("a record of %d bytes is said to have %d at most", len(r.AppendTo(nil)), size)
		}
	})
}

// No answer of a broker makes reading it panic, and every record that is decoded has a
// position.
func FuzzBatchesOfABroker(f *testing.F) {
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		c, _ := compressor(name)
		r := kmsg.Record{Value: bytes.Repeat([]byte("again "), 50), Headers: []kmsg.Header{{Key: uuidHeader, Value: []byte("u")}}}
		f.Add(encodeBatch([]kmsg.Record{r, r}, time.UnixMilli(1), c))
	}
	client, err := (&cluster{clientID: "fuzz", acks: kgo.AllISRAcks(), dialTimeout: time.Second, replyTimeout: time.Second}).newClient([]string{"127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	defer client.Close()
	f.Fuzz(func(t *testing.T, b []byte) {
		part := kmsg.NewFetchResponseTopicPartition()
		part.RecordBatches = b
		got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{DisableCRCValidation: true, IsolationLevel: kgo.ReadCommitted()},
			&part, decompressorOf(client), nil)
		for _, r := range got.Records {
			if e := decode(r); len(e.Position) != 8 {
				t.Fatalf("position %x", e.Position)
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add("")
	f.Add(string(position(1 << 40)))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, text string) {
		p := domain.Position(text)
		at, err := parsePosition(p)
		if err == nil && (at < 0 || position(at) != p) {
			t.Fatalf("%x is read as %d", text, at)
		}
	})
}
