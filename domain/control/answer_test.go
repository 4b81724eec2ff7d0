package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// A node that starts asks again only when nothing more of the answer comes, and nobody asks
// it what it does not know yet.
func TestManyFactsAreSaidOnceToANodeThatStarts(t *testing.T) {
	const facts = 20_000
	w := newWorld(t, 90)
	a := w.add("a")
	w.add("b")
	w.run(3 * time.Second)
	for i := range facts {
		key := control.Key{Kind: control.Block, Name: fmt.Sprintf("a-user-with-a-long-name-%d", i)}
		id, err := a.Put(a.clock(), key, control.Value{Reason: "spam"}, time.Hour, false)
		if err != nil {
			t.Fatal(err)
		}
		a.Forget(id)
	}
	for a.Flush(a.clock()) != nil {
		a.Published(a.clock(), true)
	}
	w.nodes[1].gone = true
	w.add("c")
	w.add("d")
	w.run(25 * time.Second)
	for _, n := range w.nodes[2:] {
		if !n.Ready() || n.FactCount() != facts {
			t.Fatalf("%s is ready: %v, with %d facts", n.name, n.Ready(), n.FactCount())
		}
	}
	said, messages := 0, 0
	for _, text := range w.kept {
		if n := strings.Count(text, `{"k":[`); n > 0 {
			said, messages = said+n, messages+1
		}
	}
	if said > facts*11/10 || messages > facts/250 {
		t.Errorf("%d facts were said in %d messages", said, messages)
	}
}

// Whoever asks all the time gets each answer once in a while.
func TestQuestionsAreAnsweredNowAndThen(t *testing.T) {
	w := newWorld(t, 91)
	a := w.add("a")
	w.run(3 * time.Second)
	for i := range 10 {
		a.block(fmt.Sprint("u", i), time.Hour)
	}
	w.run(time.Second)
	before := len(w.kept)
	question := fmt.Sprintf(`,"buckets":{"to":"","digests":"%s"}`, strings.Repeat("0", 4096))
	for i := range 1000 {
		a.receive(forge(a, "01Z", i+1, question), false)
		if i%10 == 0 {
			w.run(step)
		}
	}
	said := 0
	for _, text := range w.kept[before:] {
		said += strings.Count(text, `{"k":[`)
	}
	if said < 100 || said > 10*22 { // in 10 s
		t.Errorf("%d facts were said", said)
	}
}

// Ids that grow when they are written must not make a message larger than the bus takes.
func TestIDsThatGrowAreRefused(t *testing.T) {
	w := newWorld(t, 92)
	a := w.add("a")
	w.run(3 * time.Second)
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf(`"%s%02d"`, strings.Repeat(`\u0001`, 60), i))
	}
	at := a.clock().Wall
	text := forge(a, "01Z", 1, fmt.Sprintf(`,"facts":[{"k":["block","u"],"until":%d,"ver":[%d,1,"e"],"want":[%s]}]`,
		at+100_000, at, strings.Join(ids, ",")))
	if a.Receive(a.clock(), []byte(text), false) == nil || a.Stats().Refused["malformed_fact"] != 1 {
		t.Error("they were believed")
	}
}
