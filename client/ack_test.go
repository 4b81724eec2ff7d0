package client_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/client"
)

func wanted(id, cursor string) string {
	return strings.Replace(message("orders", id, cursor), `"data"`, `"receipt":true,"data"`, 1)
}

func TestAMessageIsAcknowledgedOnceTheHandlerHasReturned(t *testing.T) {
	n := newNode(t)
	returning := make(chan struct{})
	u := n.connect(func(c *client.Config) {
		tell := c.Handler.Message
		c.Handler.Message = func(ctx ctx, m *client.Message) error {
			if err := tell(ctx, m); err != nil || !m.Receipt {
				return err
			}
			select {
			case <-returning:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	v := n.hello()
	v.says(message("orders", "m1", "o1"), wanted("m2", "o2"), wanted("m3", "o3"), strings.Replace(wanted("m4", "o4"), `"cursor":"o4",`, "", 1))
	u.hears(`message m1 {"n":1}`, `message m2 {"n":1}`)
	returning <- struct{}{}
	v.wants(`{"op":"ack","system":"orders","cursor":"o2"}`) // and not of m1, nor of m3
	u.hears(`message m3 {"n":1}`)
	returning <- struct{}{}
	v.wants(`{"op":"ack","system":"orders","cursor":"o3"}`)
	u.hears(`message m4 {"n":1}`)
	returning <- struct{}{}
	v.says(wanted("m5", "o5"))
	u.hears(`message m5 {"n":1}`)
	u.stop() // before the handler has returned
	if got := v.hears(); !strings.Contains(got, "close 1000") {
		t.Errorf("the node heard %s; want the end", got)
	}
}

func TestManyMessagesAreAcknowledgedTogether(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	var all []string
	for i := range 100 {
		all = append(all, wanted(fmt.Sprint("m", i), fmt.Sprint("o", i)))
	}
	v.says(all...)
	for i := range 100 {
		u.hears(fmt.Sprintf(`message m%d {"n":1}`, i))
	}
	count := 0
	for got := ""; got != `{"op":"ack","system":"orders","cursor":"o99"}`; count++ {
		if got = v.hears(); !strings.HasPrefix(got, `{"op":"ack"`) {
			t.Fatalf("the node heard %s", got)
		}
	}
	t.Logf("%d ops", count)
}

func TestNothingIsAcknowledgedOnAnotherSession(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	v := n.hello()
	v.says(wanted("m1", "o1"))
	v.closes(0) // the handler has not returned yet
	v = n.hello()
	u.hears(`message m1 {"n":1}`)
	v.says(wanted("m2", "o2"))
	u.hears(`message m2 {"n":1}`)
	v.wants(`{"op":"ack","system":"orders","cursor":"o2"}`)
}

func TestWhatComesAgainAfterAGoawayIsAcknowledgedThere(t *testing.T) {
	n := newNode(t)
	u := n.connect()
	old := n.hello()
	old.says(`{"op":"goaway","retry_ms":1,"grace_ms":20000}`)
	young := n.visit()
	old.says(wanted("m1", "o1"))
	u.hears(`message m1 {"n":1}`)
	old.wants(`{"op":"ack","system":"orders","cursor":"o1"}`)
	young.accept()
	young.says(hello, wanted("m1", "o1"))
	young.wants(`{"op":"ack","system":"orders","cursor":"o1"}`)
	u.at(map[string]string{"orders": "o1"})
}
