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

func small(cfg *control.Config, _ *node) { cfg.Facts, cfg.Rows, cfg.Nodes = 50, 60, 5 }

// forge makes a message of a node that does not exist.
func forge(n *node, inc string, seq int, rest string) string {
	return fmt.Sprintf(`{"v":1,"node":"evil","inc":%q,"seq":%d,"at":%d%s}`, inc, seq, n.clock().Wall, rest)
}

func TestBoundsHoldUnderAFlood(t *testing.T) {
	w := newWorld(t, 30)
	a := w.add("a", small)
	w.add("b", small)
	w.run(3 * time.Second)
	for i := range 5000 {
		at := a.clock().Wall
		parts := []string{
			fmt.Sprintf(`,"facts":[{"k":["block","u%d"],"until":%d,"ver":[%d,%d,"e"],"want":["W%d"]}]`, i, at+1e9, at, i, i),
			fmt.Sprintf(`,"facts":[{"k":["block","u%d"],"until":%d,"ver":[%d,%d,"e"],"del":true}]`, i, at+1e9, at, i),
			fmt.Sprintf(`,"rows":[["chat","","u%d",1],["chat","r%d","u",2]]`, i, i),
			fmt.Sprintf(`,"sync":["%s"],"buckets":{"to":"","digests":"%s"}`, a.inc, strings.Repeat("0", 4096)),
			`,"snap":{"id":1,"part":1,"rows":[["chat","","x",1]]}`,
		}
		inc := fmt.Sprintf("01Z%d", i%9)
		if i%3 == 0 {
			inc = fmt.Sprintf("01Y%d", i)
		}
		a.receive(forge(a, inc, i+1, parts[i%len(parts)]), false)
		if i%250 == 0 {
			w.run(step)
		}
	}
	s := a.Stats()
	if s.Facts > 50 || s.Rows > 60 || s.Nodes > 6 {
		t.Errorf("%+v", s)
	}
	for _, reason := range []string{"too_many_facts", "too_many_rows", "too_many_nodes"} {
		if s.Refused[reason] == 0 {
			t.Errorf("%s was not counted: %v", reason, s.Refused)
		}
	}
	if len(s.Refused) > 30 {
		t.Error("the reasons grow with the flood")
	}
	w.run(time.Minute)
	w.wantNodes("a", "b")
}

// A forged version with the greatest counter must not make a node's own versions small.
func TestAForgedVersionIsOverruled(t *testing.T) {
	w := newWorld(t, 33)
	a := w.add("a")
	w.run(3 * time.Second)
	ms := a.clock().Wall + 1_800_000
	a.receive(forge(a, "01Z", 1, fmt.Sprintf(`,"facts":[{"k":["block","bob"],"until":%d,"ver":[%d,%d,"zz"]}]`,
		ms+1_000_000, ms, uint32(1<<32-1))), false)
	w.wantBlocked("bob", true)
	if _, err := a.Delete(a.clock(), control.Key{Kind: control.Block, Name: "bob"}, false); err != nil {
		t.Error(err)
	}
	w.wantBlocked("bob", false)
}

func TestFullTablesRefuse(t *testing.T) {
	w := newWorld(t, 31)
	a := w.add("a", small)
	w.run(3 * time.Second)
	for i := range 50 {
		a.block(fmt.Sprint("u", i), time.Hour)
	}
	key := control.Key{Kind: control.Block, Name: "more"}
	if _, err := a.Put(a.clock(), key, control.Value{}, time.Hour, false); !errors.Is(err, domain.ErrLimit) {
		t.Errorf("a fact too many: %v", err)
	}
	if _, err := a.Delete(a.clock(), control.Key{Kind: control.Block, Name: "u7"}, false); err != nil {
		t.Errorf("a fact that is there cannot be deleted: %v", err)
	}
	a.block("more", time.Hour) // it takes the place of the tombstone
	if a.blocked("u7") || !a.blocked("more") || a.FactCount() != 50 {
		t.Errorf("u7 %v, more %v, %d facts", a.blocked("u7"), a.blocked("more"), a.FactCount())
	}
	for i := 0; ; i++ {
		_, err := a.Put(a.clock(), control.Key{Kind: control.Block, Name: "more"}, control.Value{}, time.Hour, true)
		if errors.Is(err, domain.ErrLimit) && i > 1000 {
			break
		}
		if err != nil || i > 20_000 {
			t.Fatalf("%d commands: %v", i, err)
		}
	}
	w.run(10 * time.Minute)
	a.block("more", time.Hour)
}

func TestWhatIsInvalidIsRefused(t *testing.T) {
	w := newWorld(t, 32)
	a := w.add("a")
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		key   control.Key
		value control.Value
		ttl   time.Duration
	}{
		{key: control.Key{Kind: "later", Name: "x"}, ttl: 1},
		{key: control.Key{Kind: control.Block}, ttl: 1},
		{key: control.Key{Kind: control.Block, Name: long}, ttl: 1},
		{key: control.Key{Kind: control.Block, Name: "x", System: "chat"}, ttl: 1},
		{key: control.Key{Kind: control.Membership, Name: "x", System: "Chat", Room: "r"}, ttl: 1},
		{key: control.Key{Kind: control.Membership, Name: "x", System: "chat"}, ttl: 1},
		{key: control.Key{Kind: control.Block, Name: "x"}},
		{key: control.Key{Kind: control.Block, Name: "x"}, ttl: control.MaxTTL + 1},
		{key: control.Key{Kind: control.Block, Name: "x"}, ttl: 1, value: control.Value{Reason: long}},
		{key: control.Key{Kind: control.Block, Name: "x"}, ttl: 1, value: control.Value{Reason: "a\nb"}},
		{key: control.Key{Kind: control.Disconnect, Name: "x"}, ttl: 1, value: control.Value{Code: 1000}},
	} {
		if id, err := a.Put(a.clock(), c.key, c.value, c.ttl, false); !errors.Is(err, domain.ErrInvalid) || id != "" {
			t.Errorf("%+v: %q, %v", c, id, err)
		}
	}
	if a.FactCount() != 0 || a.Receive(a.clock(), make([]byte, 1<<20), false) == nil {
		t.Error("something was taken")
	}
}
