package ws_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/ws"
)

var cursorAt5 = domain.Cursor{Log: 7, Position: "0000000000050", Time: time.UnixMilli(1_700_000_000_123), ID: 99}

func TestPlainFramesAreTheData(t *testing.T) {
	for data, binary := range map[string]bool{"héllo": false, "\xff": true} {
		m := &domain.Message{Data: []byte(data), ContentType: domain.Binary}
		f := ws.PlainEncoder{}.Message(system("orders"), m, domain.Everyone, cursorAt5)
		if string(f.Bytes) != data || f.Binary != binary {
			t.Errorf("%q: got %q %v", data, f.Bytes, f.Binary)
		}
	}
	if f := (ws.PlainEncoder{}).Gap(system("orders"), domain.Lossy, cursorAt5); f.Bytes != nil {
		t.Errorf("plain clients have no notices: %s", f.Bytes)
	}
}

func TestEncodingPlainTakesNoAllocation(t *testing.T) {
	sys, to, m := system("orders"), targets("user:alice")[0], benchMessage()
	if n := testing.AllocsPerRun(100, func() { frame = ws.PlainEncoder{}.Message(sys, m, to, cursorAt5).Bytes }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
