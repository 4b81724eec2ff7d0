package stream_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// TestResumingAgainstALogThatIsKept drives a Stream with tiny bounds by random
// events: messages for several targets, some of them repeated; breaks; a move of
// the bus; sessions that come, go, join and leave rooms, read slowly, and come back
// with any cursor that they were ever given; several readings at once that pause,
// fail and are abandoned. Each session must get what is for it, once and in order,
// or be told a gap that covers it.
func TestResumingAgainstALogThatIsKept(t *testing.T) {
	seeds, first := 300, 0
	if s := os.Getenv("FANFARE_SEEDS"); s != "" {
		fmt.Sscanf(s, "%d-%d", &first, &seeds)
	}
	for seed := first; seed < seeds; seed++ {
		k := newKept(t, uint64(seed))
		for range 400 {
			k.happen()
		}
		k.settle()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

const (
	moveBy     = 1000 // a copy's number in the new log is so much higher
	listenerTo = 4
)

// A kept log is what the bus carried. Entry n is log[n-1].
type kept struct {
	*stream.Stream
	t         *testing.T
	seed      uint64
	r         *rand.Rand
	now       time.Time
	log       []keptEntry
	movedAt   int // the entry at which the bus was moved; 0 before
	budgets   [2]*stream.Budget
	b         *stream.Backfill
	at        int // the last entry that was read for b
	listeners []*listener
}

type keptEntry struct {
	time   time.Time
	repeat int  // the entry that it repeats; 0 if it is the first
	lost   bool // the stream did not get it, and knows no repetition of it
	to     []string
}

func newKept(t *testing.T, seed uint64) *kept {
	r := rand.New(rand.NewPCG(seed, 1))
	k := &kept{t: t, seed: seed, r: r, now: time.Unix(1_700_000_000, 0)}
	k.budgets = [2]*stream.Budget{stream.NewBudget(1 << (10 + r.IntN(12))), stream.NewBudget(1 << (8 + r.IntN(10)))}
	sys, _ := domain.ParseSystem("orders")
	k.Stream = stream.New(sys, stream.Config{
		HasLog: true, Messages: 2 + r.IntN(12), MaxScan: 10 + r.IntN(20), DedupeAge: 8 * time.Second,
		Reads:  stream.NewReads(1<<20, func() time.Time { return k.now }), // nothing is too far
		Budget: k.budgets[0], Backlog: k.budgets[1], Now: func() time.Time { return k.now },
	})
	start(k.Stream, logA, pos(0), k.now)
	for i := range listenerTo {
		k.listeners = append(k.listeners, &listener{k: k, name: fmt.Sprint("user:c", i)})
	}
	return k
}

func (k *kept) happen() {
	l := k.listeners[k.r.IntN(len(k.listeners))]
	switch p := k.r.IntN(100); {
	case p < 35:
		k.publish()
	case p < 36:
		k.lose()
	case p == 36 && k.movedAt == 0 && k.r.IntN(3) == 0:
		k.move()
	case p < 43:
		l.connect()
	case p < 46:
		l.join()
	case p < 48:
		l.leave()
	case p < 70:
		l.read(1 + k.r.IntN(8))
	case p < 95:
		k.readLog()
	default:
		k.now = k.now.Add(time.Duration(k.r.IntN(300)) * time.Millisecond)
		k.Sweep()
	}
}

func (k *kept) publish() {
	k.now = k.now.Add(time.Second)
	e := keptEntry{time: k.now}
	switch p := k.r.IntN(20); {
	case p == 0: // nobody can decode it
	case p < 3 && len(k.log) > 5:
		n := len(k.log) - k.r.IntN(4)
		if e.repeat = n; k.log[n-1].repeat > 0 {
			e.repeat = k.log[n-1].repeat
		}
		if k.now.Sub(k.log[e.repeat-1].time) > 7*time.Second || n == k.movedAt || k.log[e.repeat-1].lost {
			e.repeat = 0
			break
		}
		e.to = k.log[e.repeat-1].to
	default:
		all := []string{"user:c0", "user:c1", "user:c2", "user:c3", "room:x", "room:y", "*", "user:z"}
		k.r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		e.to = all[:1+k.r.IntN(2)]
	}
	k.log = append(k.log, e)
	n := len(k.log)
	at := k.entry(n)
	at.Origins = nil
	k.Step(&at, k.message(n))
}

// lose loses an entry, and the stream says so.
func (k *kept) lose() {
	k.log = append(k.log, keptEntry{time: k.now, to: []string{"*"}, lost: true})
	at := k.entry(len(k.log))
	k.Step(&domain.Entry{Kind: domain.Gap, Reason: domain.Lossy, Log: k.head(), Position: at.Position, Time: k.now}, nil)
}

func (k *kept) move() {
	k.log = append(k.log, keptEntry{time: k.now})
	k.movedAt = len(k.log)
	n := k.movedAt
	k.Step(&domain.Entry{Kind: domain.MovedHere, Log: logB, Position: pos(n + moveBy), Tail: pos(n + moveBy), Time: k.now,
		Origins: []domain.Location{{Log: logA, Position: pos(n)}}}, nil)
}

func (k *kept) head() domain.LogID {
	if k.movedAt > 0 {
		return logB
	}
	return logA
}

// entry is entry n in the log as it is now.
func (k *kept) entry(n int) domain.Entry {
	if k.movedAt == 0 {
		return domain.Entry{Position: pos(n), Time: k.log[n-1].time}
	}
	e := domain.Entry{Position: pos(n + moveBy), Time: k.log[n-1].time}
	if n <= k.movedAt {
		e.Origins = []domain.Location{{Log: logA, Position: pos(n)}}
	}
	return e
}

func (k *kept) message(n int) *domain.Message {
	e := k.log[n-1]
	if len(e.to) == 0 {
		return nil
	}
	if e.repeat > 0 {
		n = e.repeat
	}
	return message(fmt.Sprint("id-", n), fmt.Sprint(n)+"-"+strings.Repeat("x", n%50), e.to...)
}

func number(log domain.LogID, at domain.Position) int {
	n, err := strconv.Atoi(placeName(domain.Cursor{Log: log, Position: at, Time: time.Unix(1, 0)}))
	if err != nil {
		panic(err)
	}
	if log == logB {
		n -= moveBy
	}
	return n
}

func (k *kept) readLog() {
	k.lookUpAll()
	if k.b == nil {
		if k.b, _ = k.NextBackfill(); k.b != nil {
			k.at = number(k.b.After.Log, k.b.After.Position)
			if !k.b.From.IsZero() {
				k.at, _ = slices.BinarySearchFunc(k.log, k.b.From, func(e keptEntry, t time.Time) int { return e.time.Compare(t) })
			}
		}
		return
	}
	var entries []domain.Entry
	var messages []*domain.Message
	end := len(k.log)
	if k.b.After.Log != k.head() {
		end = k.movedAt
	}
	read := 0
	for n := 1 + k.r.IntN(12); n > 0 && k.at < end; n-- {
		k.at++
		e := k.entry(k.at)
		if k.b.After.Log == logA {
			e = domain.Entry{Position: pos(k.at), Time: e.Time}
		}
		entries, messages = append(entries, e), append(messages, k.message(k.at))
		read++
	}
	p := k.r.IntN(30)
	switch more := k.b.Add(entries, messages); {
	case !more:
		k.EndTurn(k.b)
	case p == 0 && k.seed%2 == 0:
		k.Fail(k.b, domain.Trimmed)
	case p == 1:
		k.Abandon(k.b)
	case p < 4 && read > 0:
		k.EndTurn(k.b)
	default:
		return
	}
	k.b = nil
}

func (k *kept) lookUpAll() {
	for l, ok := k.NextLookup(); ok; l, ok = k.NextLookup() {
		if l.Survey {
			k.Surveyed(l, []domain.LogID{logA}, true)
			continue
		}
		found := make([]domain.Cursor, len(l.Wanted))
		for i, c := range l.Wanted {
			if c.Log == logA && k.movedAt > 0 {
				found[i] = domain.Cursor{Log: logB, Position: pos(number(c.Log, c.Position) + moveBy), Time: c.Time, ID: c.ID}
			}
		}
		k.Found(l, found, 1)
	}
}

// settle lets everybody come to the end, and looks at what is left then.
func (k *kept) settle() {
	for range 3000 {
		k.readLog()
		k.now = k.now.Add(10 * time.Millisecond)
		for _, l := range k.listeners {
			l.read(20)
		}
	}
	for _, l := range k.listeners {
		l.complete()
	}
	if st := k.Stats(); st.Behind > 0 || st.Replaying > 0 || st.BacklogBytes != 0 || k.budgets[1].Used() != 0 {
		k.t.Errorf("in the end: %+v, %d bytes", st, k.budgets[1].Used())
	}
	if k.Stats().Bytes != k.budgets[0].Used() {
		k.t.Errorf("%d bytes are charged, and the stream has %d", k.budgets[0].Used(), k.Stats().Bytes)
	}
	for reason, n := range k.Stats().GapsTold {
		if n > 0 && (reason == domain.UnknownCursor || reason == domain.TooFar || reason == domain.Trimmed && k.seed%2 == 1) {
			k.t.Errorf("%d gaps were told: %s", n, reason)
		}
	}
}
