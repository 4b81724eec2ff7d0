package history

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
)

// TestWindowOfBytesIsAWindow holds a window against a slice of what was put into
// it: whatever comes and goes, each entry is read as it was written, and the
// chains of all targets are what a look at all entries says.
func TestWindowOfBytesIsAWindow(t *testing.T) {
	x := newIndex()
	a, b := equalHashes(t, &x)
	rapid.Check(t, func(t *rapid.T) {
		p := &plain{t: t, w: newWindow(), h: &History{}, near: make(map[string]uint64)}
		p.w.index.seed = x.seed
		p.rename = map[domain.Target]domain.Target{targetName(1): a, targetName(2): b}
		p.now = time.Unix(1_700_000_000, rapid.Int64Range(0, 1e9).Draw(t, "ns"))
		p.targets = rapid.IntRange(1, 40).Draw(t, "targets")
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "entries") {
					p.push(t)
				}
			},
			"drop": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "entries") {
					p.drop()
				}
			},
			"seek": func(t *rapid.T) { p.seek(t) },
			"":     func(*rapid.T) { p.check() },
		})
	})
}

// plain is a window without tricks, beside the one that has them.
type plain struct {
	t       *rapid.T
	w       window
	h       *History // for NextFor; its window is w
	all     []record // entry n is all[n-firstNumber]
	start   int
	now     time.Time
	targets int
	near    map[string]uint64
	checks  int
	rename  map[domain.Target]domain.Target // to names with equal hashes
}

func (p *plain) push(t *rapid.T) {
	e := drawRecord(t, p.now, p.targets)
	p.now = e.added
	if e.message != nil {
		for i, to := range e.message.To {
			e.message.To[i] = p.name(to)
		}
	}
	if n := p.w.push(&e); n != uint64(len(p.all)+firstNumber) {
		t.Fatalf("entry %d has number %d", len(p.all)+firstNumber, n)
	}
	p.all = append(p.all, e)
}

func (p *plain) name(t domain.Target) domain.Target {
	if other, found := p.rename[t]; found {
		return other
	}
	return t
}

func (p *plain) drop() {
	if p.start < len(p.all) {
		p.w.drop()
		p.start++
	}
}

// seek asks for the next entry for a target as a session would, which goes on
// where it was, and as one would that is wrong about where that is.
func (p *plain) seek(t *rapid.T) {
	target := p.name(targetName(rapid.IntRange(0, p.targets).Draw(t, "target")))
	near := p.near[target.String()]
	if rapid.Bool().Draw(t, "lost") {
		near = rapid.Uint64Range(0, uint64(len(p.all)+3)).Draw(t, "near")
	}
	n := rapid.IntRange(0, len(p.all)).Draw(t, "from")
	want, found := 0, false
	for i := max(n, p.start); i < len(p.all) && !found; i++ {
		if m := p.all[i].message; m != nil && slices.Contains(m.To, target) {
			want, found = i+firstNumber, true
		}
	}
	p.h.window = p.w
	k, ok := p.h.NextFor(target, uint64(n+firstNumber), &near)
	if ok != found || found && int(k) != want {
		t.Fatalf("after %d comes %d %v for %s, want %d %v", n, k, ok, target, want, found)
	}
	p.near[target.String()] = near
}

func (p *plain) check() {
	if p.w.len() > 0 && !p.w.oldest().Equal(p.all[p.start].added) {
		p.t.Fatalf("the oldest came at %v, want %v", p.w.oldest(), p.all[p.start].added)
	}
	if p.w.len() != len(p.all)-p.start {
		p.t.Fatalf("%d entries, want %d", p.w.len(), len(p.all)-p.start)
	}
	bytes := 0
	for n := p.w.chunks.start; n < p.w.chunks.end; n++ {
		bytes += cap(p.w.chunks.at(n).data)
	}
	if bytes != p.w.bytes {
		p.t.Fatalf("it counts %d bytes, the chunks have %d", p.w.bytes, bytes)
	}
	p.checks++
	newest := make(map[string]int)
	for i := max(0, p.start-1); i < len(p.all); i++ { // with the one where the window begins
		p.checkEntry(i, newest)
	}
	for name, i := range newest {
		n, l := p.w.index.newest(name, &p.w)
		if i >= p.start && (n != uint64(i+firstNumber) || l.next() != 0) {
			p.t.Fatalf("the newest for %s is %d and not the last of its chain, want %d", name, n, i+firstNumber)
		}
	}
}

// checkEntry compares an entry, and its links with newest: the entries before it
// by target.
func (p *plain) checkEntry(i int, newest map[string]int) {
	e := p.all[i]
	n := uint64(i + firstNumber)
	if (i+p.checks)%8 == 0 || i == len(p.all)-1 { // each after a while, as it takes long
		if diff := cmp.Diff(readable(&e), reread(&p.w, n)); diff != "" {
			p.t.Fatalf("entry %d (-written +read):\n%s", n, diff)
		}
	}
	if got := p.w.position(n); got != e.point.Position {
		p.t.Fatalf("entry %d is at %q, want %q", n, got, e.point.Position)
	}
	if e.message == nil {
		return
	}
	for _, to := range e.message.To {
		name := to.String()
		l, _, ok := p.w.find(n, name)
		if !ok {
			p.t.Fatalf("entry %d is not for %s", n, name)
		}
		before, known := newest[name]
		known = known && before >= p.start // links to entries that are gone may be there or not
		if known && before != i && l.previous() != uint64(i-before) {
			p.t.Fatalf("entry %d: %d back is the one before for %s, want %d", n, l.previous(), name, i-before)
		}
		if known && before != i {
			if l, _, _ := p.w.find(uint64(before+firstNumber), name); l.next() != uint64(i-before) {
				p.t.Fatalf("entry %d: %d ahead is the next one for %s, want %d", before+firstNumber, l.next(), name, i-before)
			}
		}
		newest[name] = i
	}
}

// readable is all that an entry is, so that cmp can compare it.
func readable(e *record) map[string]any {
	all := map[string]any{
		"log": e.point.Log, "position": e.point.Position, "id": e.point.ID, "time": e.point.Time.UnixMilli(),
		"no time": e.point.Time.IsZero(), "origins": fmt.Sprintf("%x", e.point.Origins), "added": e.added.UnixNano(),
		"reason": e.reason, "message": e.message != nil, "ttl": time.Duration(0),
	}
	if m := e.message; m != nil {
		all["form"], all["nil"], all["ttl"] = m.Form(), m.Data == nil, m.TTL
		all["content"] = fmt.Sprintf("%q %q %q %q %q %q %q", m.ID, m.To, m.Type, m.Data, m.ContentType, m.From, m.Session)
		all["event"], all["no event"] = m.Time.UnixNano(), m.Time.IsZero()
		all["headers"] = fmt.Sprintf("%q", m.Headers)
	}
	return all
}

func reread(w *window, n uint64) map[string]any {
	e := w.at(n)
	r := record{point: e.Point(), added: e.added(), reason: e.Reason()}
	if !e.IsMessage() {
		return readable(&r)
	}
	r.message = new(domain.Message)
	if p := e.Read(r.message); !reflect.DeepEqual(p, r.point) {
		panic("two points")
	}
	count, each := e.targets().each()
	for range count {
		name, _ := each.target()
		t, err := domain.ParseTarget(name)
		if err != nil {
			panic(err)
		}
		r.message.To = append(r.message.To, t)
	}
	return readable(&r)
}
