package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// ask asks, lets time pass until all have answered or within is over, and returns who has
// answered what.
func (n *node) ask(kind, body string, within time.Duration) (answers string, took time.Duration) {
	n.w.t.Helper()
	id, err := n.Ask(n.clock(), kind, []byte(body))
	if err != nil {
		n.w.t.Fatal(err)
	}
	defer n.Withdraw(id)
	began := n.w.now
	for n.w.now-began < within {
		if _, done := n.Answers(n.clock(), id); done {
			break
		}
		n.w.run(step)
	}
	a, _ := n.Answers(n.clock(), id)
	return said(a), n.w.now - began
}

func said(a control.Answers) string {
	var b strings.Builder
	for _, one := range a.From {
		fmt.Fprintf(&b, "%s: %s%s; ", one.Node, one.Body, one.Err)
	}
	fmt.Fprintf(&b, "silent: %v, complete: %v", a.Silent, a.Complete)
	return b.String()
}

// settled returns a world of three nodes that know each other.
func settled(t *testing.T, seed uint64, log bool) (w *world, a, b, c *node) {
	w = newWorld(t, seed)
	w.log = log
	a, b, c = w.add("a"), w.add("b"), w.add("c")
	w.run(10 * time.Second)
	w.wantNodes("a", "b", "c")
	return w, a, b, c
}

// onBoth runs a test on a bus with a log and on one without.
func onBoth(t *testing.T, test func(t *testing.T, log bool)) {
	t.Run("log", func(t *testing.T) { test(t, true) })
	t.Run("lossy", func(t *testing.T) { test(t, false) })
}

func TestAllNodesAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, log bool) {
		_, a, _, _ := settled(t, 300, log)
		got, took := a.ask("echo", `[1]`, 5*time.Second)
		want := `b: {"b":[1]}; c: {"c":[1]}; silent: [], complete: true`
		if got != want || took > 5*step {
			t.Errorf("after %v: %s", took, got)
		}
		if got, _ := a.ask("later", "", 5*time.Second); got != "b: unknown; c: unknown; silent: [], complete: true" {
			t.Error(got)
		}
	})
}

// A node that starts does not know yet who is alive, and one that is alone has nobody to ask.
func TestAnswersOfANodeThatKnowsNobodyAreNotComplete(t *testing.T) {
	w := newWorld(t, 301)
	a := w.add("a")
	w.run(time.Second)
	if got, took := a.ask("echo", "", time.Second); got != "silent: [], complete: false" || took > 0 {
		t.Errorf("after %v: %s", took, got)
	}
	w.run(10 * time.Second)
	if got, took := a.ask("echo", "", time.Second); got != "silent: [], complete: true" || took > 0 {
		t.Errorf("after %v: %s", took, got)
	}
	w.up = false
	w.run(10 * time.Second)
	if got, _ := a.ask("echo", "", time.Second); got != "silent: [], complete: false" {
		t.Errorf("while nothing can be heard: %s", got)
	}
}

func TestSilentNodesAreNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, log bool) {
		w, a, b, c := settled(t, 302, log)
		c.frozen = true
		got, took := a.ask("echo", `1`, 3*time.Second)
		if got != `b: {"b":1}; silent: [c], complete: false` || took != 3*time.Second {
			t.Errorf("after %v: %s", took, got)
		}
		c.frozen, b.mute = false, true
		w.run(5 * time.Second)
		if got, _ := a.ask("echo", `2`, 3*time.Second); got != `c: {"c":2}; silent: [b], complete: false` {
			t.Error(got)
		}
	})
}

// Nobody waits for a node that dies meanwhile, or that was started again.
func TestNobodyWaitsForTheDead(t *testing.T) {
	onBoth(t, func(t *testing.T, log bool) {
		w, a, b, c := settled(t, 303, log)
		c.kill()
		got, took := a.ask("echo", `1`, time.Minute)
		if got != `b: {"b":1}; silent: [c], complete: false` || took < 10*time.Second || took > 20*time.Second {
			t.Errorf("after %v: %s", took, got)
		}
		b.kill()
		w.add("b")
		w.run(2 * time.Second)
		if got, took := a.ask("echo", `2`, time.Minute); got != `b: {"b":2}; silent: [], complete: true` || took > time.Second {
			t.Errorf("after %v: %s", took, got)
		}
	})
}

// On a bus that loses a third and repeats a third, everybody answers within seconds.
func TestQuestionsAndAnswersThatAreLostAreSaidAgain(t *testing.T) {
	for seed := range uint64(20) {
		w, a, _, _ := settled(t, 310+seed, false)
		w.lose, w.repeat = 0.3, 0.3
		got, took := a.ask("echo", `1`, time.Minute)
		if want := `b: {"b":1}; c: {"c":1}; silent: [], complete: true`; strings.Replace(got, "complete: false", "complete: true", 1) != want {
			t.Errorf("after %v: %s", took, got)
		}
	}
}

// Many large answers do not keep facts from being said, nor the other way round.
func TestLargeAnswersAndFactsShareMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, log bool) {
		w, a, b, c := settled(t, 304, log)
		var ids []string
		for range 20 {
			id, err := a.Ask(a.clock(), "large", nil)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		for i := range 2000 {
			b.block(fmt.Sprint("user ", i), time.Hour)
		}
		w.run(8 * time.Second)
		for _, id := range ids {
			if got, done := a.Answers(a.clock(), id); !done || len(got.From) != 2 || len(got.From[1].Body) != control.MaxBody {
				t.Errorf("done %v: %d answers", done, len(got.From))
			}
		}
		for _, n := range []*node{a, c} {
			if !n.blocked("user 0") || !n.blocked("user 1999") {
				t.Errorf("%s does not know all facts", n.name)
			}
		}
		if got, _ := a.ask("larger", "", 5*time.Second); got != "b: too_large; c: too_large; silent: [], complete: true" {
			t.Error(got)
		}
	})
}

func TestQuestionsAreBounded(t *testing.T) {
	_, a, _, _ := settled(t, 305, true)
	for name, c := range map[string]struct{ kind, body string }{
		"no kind":         {"", "1"},
		"a long kind":     {strings.Repeat("x", 65), "1"},
		"an escaped kind": {"\n", "1"},
		"a large body":    {"echo", `"` + strings.Repeat("x", control.MaxBody) + `"`},
		"no JSON":         {"echo", "x"},
		"two values":      {"echo", "1],[1"},
		"a deep body":     {"echo", strings.Repeat("[", 127) + strings.Repeat("]", 127)},
	} {
		if _, err := a.Ask(a.clock(), c.kind, []byte(c.body)); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range control.MaxQuestions + 1 {
		_, err := a.Ask(a.clock(), "echo", []byte("1"))
		if full := i == control.MaxQuestions; errors.Is(err, domain.ErrLimit) != full {
			t.Errorf("question %d: %v", i, err)
		}
	}
}

// Who asks all the time has some questions answered, and costs neither memory nor messages
// without a bound.
func TestAFloodOfQuestionsIsBounded(t *testing.T) {
	w := newWorld(t, 306)
	a := w.add("a")
	w.run(3 * time.Second)
	sent := a.Stats().Sent
	for i := range 200 {
		var asks []string
		for j := range 100 {
			asks = append(asks, fmt.Sprintf(`{"id":"q%d","kind":"large"}`, 100*i+j))
		}
		a.receive(forge(a, "01Z", i+1, fmt.Sprintf(`,"ask":[%s]`, strings.Join(asks, ","))), false)
		if i%20 == 0 {
			w.run(step)
		}
	}
	w.run(time.Minute)
	stats := a.Stats()
	if stats.Refused["too_many_questions"] < 15_000 {
		t.Errorf("%v", stats.Refused)
	}
	if stats.Sent-sent > 700 {
		t.Errorf("%d messages", stats.Sent-sent)
	}
	if a.asked == 0 || a.asked > 1000 {
		t.Errorf("it has answered %d", a.asked)
	}
	a.receive(forge(a, "01Z", 2000, `,"ask":[{"id":"last","kind":"echo","body":1}]`), false)
	before := len(w.kept)
	w.run(time.Second)
	if text := strings.Join(w.kept[before:], ""); !strings.Contains(text, `{"id":"last","body":{"a":1}}`) {
		t.Errorf("it does not answer any more: %s", text)
	}
}

// A node that has stood still does not answer questions that nobody waits for any more.
func TestOldQuestionsAreNotAnswered(t *testing.T) {
	w, a, b, _ := settled(t, 307, true)
	b.frozen = true
	id, err := a.Ask(a.clock(), "echo", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	a.Withdraw(id)
	w.run(11 * time.Second)
	b.frozen = false
	w.run(5 * time.Second)
	if b.asked != 0 {
		t.Error("it has answered")
	}
	if got, _ := a.ask("echo", `2`, 5*time.Second); got != `b: {"b":2}; c: {"c":2}; silent: [], complete: true` {
		t.Error(got)
	}
}
