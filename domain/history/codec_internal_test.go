package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
)

// FuzzEntryIsReadAsItWasWritten writes an entry with texts of all sorts into a
// window, between others, and reads it again.
func FuzzEntryIsReadAsItWasWritten(f *testing.F) {
	f.Add(uint64(1), "position", "id", "type", []byte("data"), "text/html", "from", int64(1), int64(-1))
	f.Add(uint64(2), "", "", "", []byte{}, "", "", int64(0), int64(0))
	f.Add(uint64(3), "\x00\xff", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a", []byte(`{"a":1}`), domain.JSON, "", int64(1e18), int64(12345))
	f.Fuzz(func(t *testing.T, seed uint64, position, id, kind string, data []byte, media, from string, added, event int64) {
		now := time.Unix(1_700_000_000, 0)
		e := makeRecord(seed, now, 3)
		e.point.Position = domain.Position(position)
		e.added = now.Add(time.Duration(added))
		if m := e.message; m != nil {
			m.ID, m.Type, m.From, m.Time = id, kind, from, time.Unix(event%1e11, event%1e9&^(1<<62))
			if m.SetData(media, data) != nil {
				m.ContentType, m.Data = media, data
			}
		}
		w := newWindow()
		for n := uint64(firstNumber); n < 10; n++ {
			other := makeRecord(seed+n, now, 3)
			for _, each := range []*record{&e, &other} {
				n := w.push(each)
				if diff := cmp.Diff(readable(each), reread(&w, n)); diff != "" {
					t.Fatalf("-written +read:\n%s", diff)
				}
			}
		}
		if diff := cmp.Diff(readable(&e), reread(&w, firstNumber)); diff != "" {
			t.Fatalf("-written +read, after others came:\n%s", diff)
		}
	})
}

// What was checked once need not be checked again, and what was not is.
func TestDataFromTheWindowAreKnownToBeChecked(t *testing.T) {
	const value = `{"a": 1}`
	checked := &domain.Message{}
	if err := checked.SetData(domain.JSON, []byte(value)); err != nil {
		t.Fatal(err)
	}
	h := New(1, Config{})
	for m, want := range map[*domain.Message]domain.Form{
		checked: domain.JSONForm,
		{ContentType: domain.JSON, Data: []byte("{\n}")}: domain.Bytes,
	} {
		e := h.At(h.Append(m, Point{}, time.Time{}))
		var read domain.Message
		e.Read(&read)
		if got := read.Form(); got != want {
			t.Errorf("%q has form %v, want %v", m.Data, got, want)
		}
		if want == domain.JSONForm {
			if n := testing.AllocsPerRun(10, func() { e.Read(&read); read.Form() }); n != 0 {
				t.Errorf("reading a message takes %v allocations", n)
			}
		}
	}
}

// What a History hands out to be kept keeps no chunk in memory.
func TestPointsToKeepShareNothingWithTheWindow(t *testing.T) {
	h := New(1, Config{HasLog: true})
	for range 3 {
		h.Append(&domain.Message{}, Point{Cursor: domain.Cursor{Log: 2, Position: "12345678"},
			Origins: []domain.Location{{Log: 3, Position: "87654321"}}}, time.Time{})
	}
	h.DropOldest()
	start := *h.Start()
	if start.Position != "12345678" || start.Origins[0].Position != "87654321" {
		t.Fatalf("the window starts at %v", start)
	}
	e := h.At(h.First() - 1)
	clear(e.data)
	if start.Position != "12345678" || start.Origins[0].Position != "87654321" {
		t.Errorf("it changed with the chunk to %q", start)
	}
}
