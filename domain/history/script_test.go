package history_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

var update = flag.Bool("update", false, "write what Find answers now into testdata")

// TestFind plays the scripts in testdata. Each line is a thing that happens to
// a history, in the words of script.do; behind `find` stands, indented, what
// Find answers.
func TestFind(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// play returns the script with the answers that Find gives.
func play(t *testing.T, text string) string {
	s := &script{now: time.Unix(1_700_000_000, 0)}
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		words := strings.Fields(strings.TrimSpace(line))
		switch {
		case strings.HasPrefix(line, " "): // what was answered before
			continue
		case len(words) == 0 || words[0] == "#":
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintln(&out, line)
		answer, err := s.do(words[0], words[1:])
		if err != nil {
			t.Fatalf("line %d: %q: %v", i+1, line, err)
		}
		if answer != "" {
			fmt.Fprintf(&out, "    %s\n", answer)
		}
	}
	return out.String()
}

// A script is a history and its time.
type script struct {
	h   history.History
	now time.Time
}

// do does one thing.
func (s *script) do(what string, args []string) (answer string, err error) {
	switch what {
	case "bus": // log, backlog: what the bus can do; a new history begins
		s.h = history.New(ownLog, history.Config{
			HasLog: has(args, "log"), Backlog: has(args, "backlog"),
			FingerprintAge: time.Minute, FingerprintWait: time.Second, Fingerprints: 100,
		})
	case "start": // LOG POSITION
		s.h.Begin(s.point(args[0], args[1]), s.now)
	case "records": // FIRST..LAST [from LOG FIRST]...
		return "", s.records(args)
	case "gap": // REASON LOG POSITION
		s.h.AppendGap(domain.GapReason(args[0]), s.point(args[1], args[2]), s.now)
	case "moved": // LOG POSITION from LOG POSITION
		p := s.point(args[0], args[1])
		p.Origins = []domain.Location{{Log: logID(args[3]), Position: position(args[4])}}
		s.h.AppendMove(p, s.now)
	case "expect": // LOG
		s.h.Expect(logID(args[0]))
	case "drop": // N oldest entries
		for range number(args[0]) {
			s.h.DropOldest()
		}
	case "pass": // DURATION
		d, err := time.ParseDuration(args[0])
		s.now = s.now.Add(d)
		return "", err
	case "survey": // LOG... are all that there are copies of
		s.h.Survey(logIDs(args), true)
	case "refuse": // backlog REASON LOG POSITION, or lookup LOG POSITION
		if args[0] == "lookup" {
			s.h.RefuseLookup(s.cursor(args[1:]), s.now)
			break
		}
		s.h.RefuseBacklog(s.cursor(args[2:]), domain.GapReason(args[1]), s.now)
	case "find": // LOG POSITION [id ID] [fingerprint N] [age DURATION]
		return s.h.Find(s.cursor(args), func() time.Time { return s.now }).String(), nil
	default:
		return "", fmt.Errorf("unknown word %q", what)
	}
	return "", nil
}

// ownLog is that of the positions that a history counts itself.
const ownLog = domain.LogID(0xFFFF)

// records appends messages, whose ids are "m" and their position. On a bus
// without a log the positions are fingerprints.
func (s *script) records(args []string) error {
	first, last := span(args[0])
	for i := first; i <= last; i++ {
		p := s.h.NextPoint(s.h.Head().Log, "", s.now, s.now)
		if s.h.Head().Log != ownLog {
			p = s.point("", strconv.Itoa(i))
			p.Log, p.ID = s.h.Head().Log, domain.HashID(fmt.Sprint("m", i))
		} else {
			p.ID = uint64(i)
		}
		for rest := args[1:]; len(rest) >= 3; rest = rest[3:] {
			from := number(rest[2]) + i - first
			p.Origins = append(p.Origins, domain.Location{Log: logID(rest[1]), Position: position(strconv.Itoa(from))})
		}
		s.h.Append(&domain.Message{}, p, s.now)
		s.h.AddFingerprint(&p, s.now)
	}
	return nil
}

// point is a position in a log; "-" is the next one of the history's own.
func (s *script) point(log, at string) history.Point {
	if at == "-" {
		return s.h.NextPoint(0, "", s.now, s.now)
	}
	return s.h.NextPoint(logID(log), position(at), s.now, s.now)
}

func (s *script) cursor(args []string) domain.Cursor {
	c := domain.Cursor{Log: logID(args[0]), Position: position(args[1]), Time: s.now}
	for rest := args[2:]; len(rest) >= 2; rest = rest[2:] {
		switch rest[0] {
		case "id":
			c.ID = domain.HashID(rest[1])
		case "fingerprint":
			c.ID = uint64(number(rest[1]))
		case "age":
			d, err := time.ParseDuration(rest[1])
			if err != nil {
				panic(err)
			}
			c.Time = s.now.Add(-d)
		}
	}
	return c
}

func has(args []string, word string) bool {
	for _, a := range args {
		if a == word {
			return true
		}
	}
	return false
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func span(text string) (first, last int) {
	a, b, several := strings.Cut(text, "..")
	if !several {
		b = a
	}
	return number(a), number(b)
}

func position(text string) domain.Position {
	return domain.Position(binary.BigEndian.AppendUint64(nil, uint64(number(text))))
}

func logID(name string) domain.LogID {
	if name == "" {
		return 0
	}
	return domain.LogID(name[0])
}

func logIDs(names []string) (all []domain.LogID) {
	for _, n := range names {
		all = append(all, logID(n))
	}
	return all
}
