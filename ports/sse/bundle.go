package sse

import (
	"sync"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A bundle is what is put together for one write.
type bundle struct {
	text     []byte
	events   uint64 // that text holds
	messages uint64 // of the events
	delays   session.Delays
	notes    []*stream.Note // of the messages that want receipts, the newest of each system
}

// addTo appends an item to a bundle.
func (s *script) addTo(b *bundle, i *item) {
	b.text = s.add(b.text, *i)
	b.events++
	if i.message {
		b.messages++
		b.delays.Add(i.read)
	}
	if i.note != nil {
		b.notes = session.AddNote(b.notes, i.note)
	}
}

func (b *bundle) empty() {
	b.text, b.events, b.messages = b.text[:0], 0, 0
	b.delays.Reset()
	b.notes = b.notes[:0]
}

// bundles holds bundles, so that idle sessions have none.
var bundles = sync.Pool{New: func() any { return &bundle{text: make([]byte, 0, 4096)} }}

func takeBundle() *bundle { return bundles.Get().(*bundle) }

func putBundle(b *bundle) {
	if cap(b.text) <= 4*chunk {
		b.empty()
		bundles.Put(b)
	}
}
