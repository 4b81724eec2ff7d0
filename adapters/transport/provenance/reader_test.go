package provenance_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

const oldLog, newLog = domain.LogID(0xA), domain.LogID(0xB)

func position(n int) domain.Position { return domain.Position([]byte{byte(n)}) }

// entries makes what a reader of the new log reads. "12/10" is a copy of what was
// at 12 in the old log, before which 10 was copied; "new" was published here;
// "away" and "gap" are marks, "away 12/10" and "gap 12/10" copies of them.
func entries(t *testing.T, script string) (batch []domain.Entry) {
	t.Helper()
	for i, words := range strings.Split(script, ", ") {
		e := domain.Entry{Kind: domain.Record, Position: position(i + 1)}
		for _, word := range strings.Fields(words) {
			at, after, copied := strings.Cut(word, "/")
			switch {
			case word == "away":
				e.Header = append(e.Header, domain.Field{Name: "fanfare.move", Value: "leave"})
			case word == "gap":
				e.Header = append(e.Header, domain.Field{Name: "fanfare.move", Value: "gap"})
			case copied:
				e.Header = append(e.Header, domain.Field{Name: "fanfare.origin", Value: origin(t, at, after)})
			}
		}
		batch = append(batch, e)
	}
	return batch
}

func origin(t *testing.T, at, after string) string {
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	o := provenance.Origin{
		Locations: []domain.Location{{Log: oldLog, Position: position(number(at))}},
		Time:      time.UnixMilli(1).UTC(),
	}
	if after != "-" {
		o.After = position(number(after))
	}
	return o.String()
}

// shown shows what entries have become.
func shown(batch []domain.Entry) string {
	var words []string
	for _, e := range batch {
		word := map[domain.EntryKind]string{
			domain.Record: "record", domain.Gap: "gap", domain.Control: "control",
			domain.MovedAway: "moved away", domain.MovedHere: "moved here",
		}[e.Kind]
		if len(e.Origins) > 0 {
			word += fmt.Sprintf(" of %d", e.Origins[0].Position[0])
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestAReaderFindsWhatWasCopiedTwiceAndWhatIsMissing(t *testing.T) {
	for _, tt := range []struct{ name, log, read string }{
		{"what was published here", "new, new", "record, record"},
		{"copies", "10/-, 12/10, 13/12", "record of 10, record of 12, record of 13"},
		{"reading begins in the middle", "12/10, 13/12", "record of 12, record of 13"},
		{"one is missing", "10/-, 13/12", "record of 10, gap of 13, record of 13"},
		{"one comes twice", "10/-, 12/10, 10/-, 13/12", "record of 10, record of 12, control of 12, record of 13"},
		{"one could not be copied", "10/-, gap 12/10, 13/12", "record of 10, gap of 12, record of 13"},
		{"one could not be copied, behind a missing one", "10/-, gap 13/12", "record of 10, gap of 13"},
		{"this log was left", "10/-, away", "record of 10, moved away"},
		{"the log before this one was left", "10/-, away 12/10, new", "record of 10, moved here of 12, record"},
		{"a gap that is no copy", "gap", "control"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var whole, single provenance.Reader
			if got := shown(whole.Read(entries(t, tt.log), newLog, "")); got != tt.read {
				t.Errorf("in one batch: %s, want %s", got, tt.read)
			}
			var one []domain.Entry
			for _, e := range entries(t, tt.log) {
				one = append(one, single.Read([]domain.Entry{e}, newLog, "")...)
			}
			if got := shown(one); got != tt.read {
				t.Errorf("one by one: %s, want %s", got, tt.read)
			}
		})
	}
}

func TestALocatorFindsWhereCopiesAre(t *testing.T) {
	for _, tt := range []struct {
		name, log string
		wanted    int
		found     int // 0: not proven
	}{
		{"at a copy", "10/-, new, 12/10", 12, 3},
		{"between copies", "10/-, new, 12/10", 11, 1},
		{"before the first copy", "10/-, 12/10", 9, 0},
		{"behind the last copy", "10/-, 12/10", 13, 0},
		{"where something is missing", "10/-, 13/12", 11, 0},
		{"at a mark", "10/-, away 12/10, new", 12, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reader provenance.Reader
			l := provenance.NewLocator([]domain.Location{{Log: oldLog, Position: position(tt.wanted)}})
			for _, e := range reader.Read(entries(t, tt.log), newLog, "") {
				l.Take(&e)
			}
			got, want := l.Found(newLog)[0], domain.Location{}
			if tt.found > 0 {
				want = domain.Location{Log: newLog, Position: position(tt.found)}
			}
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
