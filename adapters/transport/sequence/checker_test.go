package sequence_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
)

// wire returns what two publishers put on a topic: "p1" is the first message of p,
// "p5!" is p's high-water mark after its fifth. What is no such name stands for
// itself.
func wire(t *testing.T) func(name string) []byte {
	t.Helper()
	sent := make(map[string][]byte)
	for _, publisher := range []string{"p", "q"} {
		n := sequence.NewNumberer()
		for _, digit := range "12345" {
			name := publisher + string(digit)
			batch := n.Begin(1, 100)
			payload, ok := batch.Number("orders", []byte(`{"data":"`+name+`"}`))
			if !ok {
				t.Fatal("no number")
			}
			sent[name], sent[name+"!"] = payload, batch.HighWaterMark("orders")
			batch.End()
		}
	}
	return func(name string) []byte {
		if payload, ok := sent[name]; ok {
			return append([]byte(nil), payload...) // Check cuts the number out of it
		}
		return []byte(name)
	}
}

// heard shows entries in the words of the table below.
func heard(entries []domain.Entry) string {
	var words []string
	for _, e := range entries {
		word := strings.TrimSuffix(strings.TrimPrefix(string(e.Body), `{"data":"`), `"}`)
		if e.Kind == domain.Gap {
			word = "gap"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestAReaderIsToldWhatIsMissing(t *testing.T) {
	for _, tt := range []struct{ name, wire, heard string }{
		{"nothing is missing", "p1 p2 p3", "p1 p2 p3"},
		{"a number is missing", "p1 p3", "p1 gap p3"},
		{"several in a row are one gap", "p1 p4", "p1 gap p4"},
		{"two gaps", "p1 p3 p5", "p1 gap p3 gap p5"},
		{"one that comes late was told missing", "p1 p3 p2 p4", "p1 gap p3 p4"},
		{"one that comes twice", "p1 p2 p2 p1 p3", "p1 p2 p3"},
		{"a mark says nothing new", "p1 p2 p2! p3", "p1 p2 p3"},
		{"a mark shows that the last one is missing", "p1 p2! p3", "p1 gap p3"},
		{"a mark that was overtaken", "p1 p2 p3 p2! p4", "p1 p2 p3 p4"},
		{"reading begins in the middle", "p3 p4", "p3 p4"},
		{"one from before the first", "p3 p2 p4", "p3 p2 p4"},
		{"reading begins with a mark", "p3! p4 p5", "p4 p5"},
		{"and what the mark was about comes late", "p3! p3 p4", "p3 p4"},
		{"publishers do not disturb each other", "p1 q1 p2 q3", "p1 q1 p2 gap q3"},
		{"what has no number passes", "p1 hello {} p2", "p1 hello {} p2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload := wire(t)
			var batch []domain.Entry
			for word := range strings.FieldsSeq(tt.wire) {
				batch = append(batch, domain.Entry{Kind: domain.Record, Body: payload(word)})
			}
			whole, single := sequence.NewChecker(true), sequence.NewChecker(true)
			var one []domain.Entry
			for _, e := range batch {
				e.Body = append([]byte(nil), e.Body...)
				one = append(one, single.Check([]domain.Entry{e}, 0).Kept...)
			}
			if got := heard(one); got != tt.heard {
				t.Errorf("one by one: %s, want %s", got, tt.heard)
			}
			r := whole.Check(batch, 0)
			if got := heard(r.Kept); got != tt.heard {
				t.Errorf("in one batch: %s, want %s", got, tt.heard)
			}
			if gaps := strings.Count(tt.heard, "gap"); r.Missing != gaps {
				t.Errorf("counted %d missing, want %d", r.Missing, gaps)
			}
		})
	}
}

func TestMarksFollowAndThenGetRarer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sequence.NewNumberer()
		publish := func() {
			batch := n.Begin(1, 100)
			defer batch.End()
			batch.Number("orders", []byte(`{"data":1}`))
		}
		if topics, next := n.DueHighWaterMarks(time.Now()); len(topics) != 0 || !next.IsZero() {
			t.Errorf("marks of nothing: %v, %v", topics, next)
		}
		publish()
		<-n.Wake()
		start := time.Now()
		for _, want := range []time.Duration{1, 3, 7, 15, 31, 63, 123, 183} {
			_, next := n.DueHighWaterMarks(time.Now())
			time.Sleep(time.Until(next))
			topics, _ := n.DueHighWaterMarks(time.Now())
			if len(topics) != 1 || time.Since(start) != want*time.Second {
				t.Fatalf("marks of %v after %v, want one after %v", topics, time.Since(start), want*time.Second)
			}
		}
		publish()
		<-n.Wake() // the next mark is due in a second, and not in a minute
		if _, next := n.DueHighWaterMarks(time.Now()); time.Until(next) != sequence.HighWaterMarkMin {
			t.Errorf("the next mark is due in %v", time.Until(next))
		}
	})
}
