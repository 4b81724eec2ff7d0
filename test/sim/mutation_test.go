package sim_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutation is a mistake that somebody could make in the real code.
type mutation struct {
	name, file, old, new string
	where                worlds
}

// Worlds are those in which a mutation shows.
type worlds string

const (
	logged worlds = "-test.run=^TestNothingIsMissedWithoutAGap -seeds=1500 -lossy=0"
	lost   worlds = "-test.run=^TestNothingIsMissedWithoutAGap -seeds=600 -lossy=1"
	rare   worlds = "-test.run=^TestNothingIsMissedWithoutAGap -seed=414 -times=300 -lossy=1" // one run of fifteen or so shows it, where another seed's takes hundreds
	moving worlds = "-test.run=^TestNothingIsMissedWhileTheBusMoves -seeds=2000"
	freed  worlds = logged + " " // as logged, but the node itself notices, see says
	calm   worlds = "-test.run=^TestNothingIsMissedNorToldForNothing -seeds=1500"
	agree  worlds = "-test.run=^TestNodesAgree -seeds=1500"
	alive  worlds = "-test.run=^TestNobodyIsDeclaredDead -seeds=1500"
)

// says is what a run says that notices a mistake: nearly always it is the checker
// that does. Memory that was freed cannot be read in Go, so there the node ends.
func (w worlds) says() string {
	if w == freed {
		return "github.com/fanfarebus/fanfare/domain/history.(*window).at("
	}
	return "replay it with"
}

var mutations = []mutation{
	{"off by one at the seam", "domain/history/find.go",
		"Next: n, Cursor: *c, Resumed: true", "Next: n + 1, Cursor: *c, Resumed: true", logged},
	{"forgotten gap entry", "domain/history/history.go",
		"	h.gaps.push(n)\n", "", logged},
	{"cursor of the entry before", "domain/history/history.go",
		"	h.Advance(p)\n	return h.push(&record{point: p, message: m,",
		"	was := h.head\n	h.Advance(p)\n	return h.push(&record{point: was, message: m,", logged},
	{"link to the next entry broken", "domain/history/links.go",
		"theirs.setNext(n - last)", "_ = theirs", logged},
	{"link to the entry before broken", "domain/history/links.go",
		"mine.setPrevious(n - last)", "_ = mine", logged},
	{"window index that forgets a target", "domain/history/index.go",
		"live, 0\n	for _, s := range old {", "live, 0\n	for _, s := range old[1:] {", logged},
	{"chunk freed too early", "domain/history/window.go",
		"w.chunks.at(w.chunks.start+1).first <= n {", "w.chunks.at(w.chunks.start+1).first <= n+3 {", freed},
	{"repetitions delivered", "domain/stream/step.go",
		"return verdict == history.Duplicate", "return false", logged},
	{"dedupe by id alone", "domain/history/dedupe.go",
		"if d.seen.at(n).value == content {", "if true {", logged},
	{"live overtakes replay", "domain/stream/fill.go",
		"a.live, a.next = false, n", "a.next = n", logged},
	{"overflow not told", "domain/stream/fill.go",
		"a.beginAfterGap(domain.Overflow, a.heldAt(), first, s.history.Start().Cursor)", "a.begin(first)", logged},
	{"reading of the log ends too early", "domain/stream/backfill.go",
		"if e.Position > end.Position {", "if true {", logged},
	{"rider that starts one entry late", "domain/stream/backfill.go",
		"	b.letOnBefore(e.Position)\n	b.turn++", "	b.turn++", logged},
	{"repetition in the log replayed", "domain/stream/backfill.go",
		"v == history.Duplicate {", "v == history.Duplicate && false {", logged},
	{"waiter forgotten", "domain/stream/backlog.go",
		"		s.backlog.waiting = append(s.backlog.waiting, a)\n", "", logged},
	{"rider of a reading that is over forgotten", "domain/stream/backlog.go",
		"	riders = b.riders\n", "	riders = b.riders[:min(1, len(b.riders))]\n", logged},
	{"stored message freed too early", "domain/stream/ride.go",
		"			return\n		}\n		r.pop()", "			r.pop()\n			return\n		}\n		r.pop()", logged},
	{"rider gets off at the wrong place", "domain/stream/backlog.go",
		"	place := b.place()\n	for _, a := range s.dissolve(b) {\n		a.ride.getOff(place, \"\")",
		"	place := s.history.Head().Cursor\n	for _, a := range s.dissolve(b) {\n		a.ride.getOff(place, \"\")", logged},
	{"trimmed log believed", "adapters/memory/log.go",
		"	if seq+1 < l.first {\n		return &", "	if seq+1 < l.first && seq == 0 {\n		return &", logged},
	{"another log believed to be the same", "adapters/transport/subscription.go",
		"case err == nil && feed.Log() == s.log:", "case err == nil:", logged},
	{"interruption of a lossy bus not told", "adapters/transport/subscription.go",
		"if s.gap == nil && !(s.t.guarantees.Log && s.last != \"\") {", "if false {", lost},
	{"fingerprints ignored", "domain/stream/step.go",
		"p.ID = uint64(e.Fingerprint)", "p.ID = 0", calm},
	{"fingerprint that is on its way not waited for", "domain/history/find.go",
		"	if !mayCome {", "	if !mayCome || true {", calm},
	{"place known by the number alone", "adapters/transport/sequence/fingerprint.go",
		"n.digest()+recentDigest", "n.digest()", rare},
	{"fingerprint of the record before", "domain/history/history.go",
		"h.fingerprints.add(p.ID, h.Next())", "h.fingerprints.add(p.ID, h.Next()-1)", calm},
	{"fingerprint of the record behind", "domain/history/history.go",
		"h.fingerprints.add(p.ID, h.Next())", "h.fingerprints.add(p.ID, h.Next()+1)", calm},
	{"full outbox forgotten", "domain/stream/fill.go",
		"	case !a.out.Offer(f):\n		return false\n	}\n	if a.page == nil {\n		a.stream.stats.Offered++", "	default:\n		a.out.Offer(f)\n	}\n	if a.page == nil {\n		a.stream.stats.Offered++", logged},
	{"what stands behind the mark's copy left out", "adapters/migrate/subscription.go",
		"return append(rest, batch[i+1:]...), true", "return rest, true", moving},
	{"publish confirmed before its place is known", "adapters/migrate/publish.go",
		"	case <-published.done:\n", "	default:\n", moving},
	{"bridge goes on where the old bus ends", "adapters/migrate/checkpoint.go",
		"c.advance(e.Origins[0], e.Time)", "c.advance(old, e.Time)", moving},
	{"last writer by arrival", "domain/control/facts.go",
		"	case order > 0:\n", "	case order != 0:\n", agree},
	{"replay taken for news", "domain/control/nodes.go",
		"		if m.seq <= p.seq || m.seq-p.seq > maxSkip {", "		if false {", agree},
	{"replay that revives a dead node", "domain/control/nodes.go",
		"	case isDead && (m.seq <= last || m.seq-last > maxSkip),", "	case isDead && m.seq == last+1<<40,", agree},
	{"rows of a dead node kept", "domain/control/receive.go",
		"	m.presence.drop(m.now, p.src, cause{p.inc, p.seq})\n", "", agree},
	{"differing facts not found", "domain/control/facts_digest.go",
		"	t.buckets[f.bucket()] ^= f.hash\n", "", agree},
	{"deleted fact forgotten", "domain/control/commands.go",
		"claim{key: k, keep: keep, del: true}", "claim{key: k, keep: min(keep, now.Mono+time.Second), del: true}", agree},
	{"ends by clocks that are wrong", "domain/control/receive_facts.go",
		"		offset = p.clock.offset\n", "", agree},
	{"speaker that begins where it stands", "domain/control/speaker.go",
		"		since = max(0, s.heard-unspoken-speakMargin)\n", "		since = max(m.now.Mono, unspoken)\n", agree},
	{"dead, though nobody could be heard", "domain/control/tick.go",
		"	if m.hearing() {\n", "	if true {\n", alive},
}

// TestCheckerCatchesMistakes builds the simulator with each mistake in the real
// code and wants it to fail.
func TestCheckerCatchesMistakes(t *testing.T) {
	if testing.Short() || raceOn {
		t.Skip("builds the simulator anew for each mistake: left out with -short and with -race; `make test` runs it without")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // -parallel bounds them: one for each CPU
			dir := t.TempDir()
			binary := filepath.Join(dir, "sim.test")
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-o", binary, "-overlay", overlay(t, root, dir, m), "./test/sim")
			build.Dir = root
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("the mistake does not build: %v\n%s", err, out)
			}
			run := exec.CommandContext(t.Context(), binary, append(strings.Fields(string(m.where)), "-test.timeout=5m")...)
			run.Dir = filepath.Join(root, "test", "sim")
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatalf("nobody noticed: %s", m.where)
			}
			if says := m.where.says(); !strings.Contains(string(out), says) {
				t.Fatalf("it failed, but does not say %s:\n%.2000s", says, out)
			}
		})
	}
}

// overlay writes the mistaken file and what tells the compiler to take it.
func overlay(t *testing.T, root, dir string, m mutation) string {
	path := filepath.Join(root, m.file)
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(code), m.old) != 1 {
		t.Fatalf("%s: the code to be mistaken stands there %d times", m.file, strings.Count(string(code), m.old))
	}
	mistaken := filepath.Join(dir, "mistaken.go")
	if err := os.WriteFile(mistaken, []byte(strings.Replace(string(code), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: mistaken}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
