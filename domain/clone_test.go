package domain_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/fanfarebus/fanfare/domain"
)

func TestCloneIsEqualAndSharesNothing(t *testing.T) {
	room, err := domain.RoomTarget("lobby")
	if err != nil {
		t.Fatal(err)
	}
	m := domain.Message{
		ID: "id", To: []domain.Target{room, domain.Everyone}, Type: "type", Time: time.Unix(1, 2), TTL: time.Minute,
		Headers: map[string]string{"name": "value"}, From: "alice", Session: "s",
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Receipt: true,
	}
	if err := m.SetData("application/vnd.x+json", []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	if !c.Equal(m) || c.Form() != m.Form() {
		t.Errorf("the clone is %+v with the form %v, not %+v with %v", *c, c.Form(), m, m.Form())
	}
	if &c.Data[0] == &m.Data[0] || unsafe.StringData(c.ID) == unsafe.StringData(m.ID) ||
		unsafe.StringData(c.Traceparent) == unsafe.StringData(m.Traceparent) ||
		unsafe.StringData(c.To[0].String()) == unsafe.StringData(m.To[0].String()) {
		t.Error("the clone shares memory with the message")
	}
	m.Headers["name"], m.To[0], m.Data[0] = "other", domain.Everyone, '['
	if c.Headers["name"] != "value" || c.To[0] != room || string(c.Data) != `{"n":1}` {
		t.Errorf("the clone changed with the message: %+v", *c)
	}
	if c := (&domain.Message{}).Clone(); !c.Equal(domain.Message{}) {
		t.Errorf("the clone of nothing is %+v", *c)
	}
}
