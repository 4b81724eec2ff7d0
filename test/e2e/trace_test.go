package e2e_test

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/domain/trace"
	"github.com/fanfarebus/fanfare/test/broker"
)

// tracedWindow is how many messages the windows of the nodes hold in TestTraceOfKnownFates.
const tracedWindow = 150

// A traced is a message with a fate that the test has seen to.
type traced struct{ id, user, fate string }

// traces are three nodes on a bus, and what the test knows of its messages.
type traces struct {
	*controlled
	c     *cluster
	redis *redis.Client
	all   []traced
	count int
}

// Of one hundred messages, and some more, a trace says what has become of them: on each of
// three nodes, and for each session of a user.
func TestTraceOfKnownFates(t *testing.T) {
	t.Parallel()
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 3, r.URL("redis-streams"), settings{
		"WINDOW_MESSAGES": fmt.Sprint(tracedWindow), "CONTROL_HEARTBEAT": "1s", "CONTROL_DEAD_AFTER": "10s",
	})
	w := &traces{controlled: c.controlled(), c: c, redis: r.Client()}
	w.wantLive(t, 30*time.Second, w.nodes[0], w.names()...)
	everywhere := "n1 read, n2 read, n3 read"

	phone := w.mustConnect(t, overV1, w.nodes[0].addr, w.pass("alice", nil), "")
	laptop := w.mustConnect(t, overSSE, w.nodes[1].addr, w.pass("alice", nil), "")

	// The windows move past these, and the log is trimmed: nobody has them any more.
	trimmed := w.publish10(t, "trimmed", "user:alice")
	w.fill(t, phone, laptop)
	must(t, w.redis.XTrimMaxLen(t.Context(), "fanfare.orders", 0).Err())
	w.know("nowhere: trimmed", "alice", trimmed...)
	w.check(t)

	// The windows move past these. The log has them.
	logged := w.publish10(t, "logged", "user:alice")
	w.fill(t, phone, laptop)
	w.know(everywhere+"; n1 written, n2 written", "alice", logged...)
	w.check(t)
	w.all = nil

	w.know(everywhere+"; n1 written, n2 written", "alice", w.publish10(t, "two devices", "user:alice")...)

	bob := w.mustConnect(t, overV1, w.nodes[2].addr, w.pass("bob", nil), "")
	w.hears(t, bob, w.publishOne(t, "user:bob"))
	bob.shut()
	w.settle(t, "bob")
	w.know(everywhere+"; n3 not_attached_then", "bob", w.publish10(t, "offline", "user:bob")...)
	w.know(everywhere, "nobody", w.publish10(t, "nobody", "user:nobody")...)

	carol := w.mustConnect(t, overV1, w.nodes[1].addr, w.pass("carol", nil), "&rooms=orders/desk")
	w.know(everywhere+"; n2 not_in_room", "carol", w.publish10(t, "other room", "room:hall")...)
	w.know(everywhere+"; n2 written", "carol", w.publish10(t, "room", "room:desk")...)
	w.hears(t, carol, w.publishOne(t, "room:desk"))

	w.expire(t)
	w.repeat(t, phone, laptop)
	w.poison(t)
	w.hears(t, phone, w.publishOne(t, "user:alice"))
	w.hears(t, laptop, w.publishOne(t, "user:alice"))
	w.check(t)
	w.commandLine(t, "alice", "two-devices-1", "two-devices-1: logged ", "to user:alice", "n3    read", "written")
	w.commandLine(t, "alice", "trimmed-1", "the log has been trimmed")
	w.commandLine(t, "alice", "poison-1", "cannot be decoded", "poison")

	w.all = nil
	w.lose(t)
	w.check(t)
	w.commandLine(t, "frank", "lost-1", "gap (trimmed)")

	w.kill(t)
	if n := w.count; n < 100 {
		t.Errorf("there were %d messages", n)
	}
}

// add puts envelopes on the bus.
func (w *traces) add(t *testing.T, envelopes ...string) {
	t.Helper()
	_, err := w.redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for _, e := range envelopes {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.orders", Values: []any{"data", e}})
		}
		return nil
	})
	must(t, err)
}

// publish10 publishes ten messages and returns their ids.
func (w *traces) publish10(t *testing.T, name, to string) (ids []string) {
	t.Helper()
	var all []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), i+1))
		all = append(all, fmt.Sprintf(`{"id":%q,"to":%q,"data":%d}`, ids[i], to, i))
	}
	w.add(t, all...)
	return ids
}

var tracedNumber atomic.Int64

// publishOne publishes a number, and returns it.
func (w *traces) publishOne(t *testing.T, to string) int {
	t.Helper()
	n := int(1_000_000 + tracedNumber.Add(1))
	w.add(t, fmt.Sprintf(`{"id":"n-%d","to":%q,"data":%d}`, n, to, n))
	return n
}

func (w *traces) hears(t *testing.T, d *guest, number int) {
	t.Helper()
	d.wants(t, fmt.Sprint(number), isNumber(number))
}

// fill lets the windows move past everything that is in them. The devices hear the last message.
func (w *traces) fill(t *testing.T, devices ...*guest) {
	t.Helper()
	for range tracedWindow / 10 {
		w.publish10(t, fmt.Sprint("filler", tracedNumber.Add(1)), "user:filler")
	}
	last := w.publishOne(t, "*")
	for _, d := range devices {
		w.hears(t, d, last)
	}
	third := w.mustConnect(t, overV1, w.nodes[2].addr, w.pass("third", nil), "")
	w.hears(t, third, w.publishOne(t, "user:third"))
	third.shut()
}

func (w *traces) know(fate, user string, ids ...string) {
	for _, id := range ids {
		w.all = append(w.all, traced{id, user, fate})
	}
	w.count += len(ids)
}

// trace asks a node what became of a message.
func (w *traces) trace(user, id string) (r trace.Report, err error) {
	err = w.read(w.nodes[0].addr, "/v1/systems/orders/messages/"+id+"/trace?user="+user, &r)
	return r, err
}

// check wants the fates of all messages that it knows. Nodes may still have to read the last ones.
func (w *traces) check(t *testing.T) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(8)
	for _, m := range w.all {
		group.Go(func() error {
			over := time.Now().Add(60 * time.Second)
			for {
				r, err := w.trace(m.user, m.id)
				got := fateIn(&r)
				if err == nil && got == m.fate {
					return nil
				}
				if time.Now().After(over) {
					return fmt.Errorf("%s for %s: %q, want %q: %v", m.id, m.user, got, m.fate, err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// fateIn writes a report in a few words: for each place, what the nodes say and what became of
// it for the user's sessions.
func fateIn(r *trace.Report) string {
	if len(r.Places) == 0 {
		return "nowhere: " + r.Reason
	}
	var places []string
	for i := range r.Places {
		var nodes, told []string
		for _, n := range r.Nodes {
			if n.Error != "" || i >= len(n.Places) {
				nodes = append(nodes, n.Node+" "+n.Error)
				continue
			}
			seen := n.Places[i]
			nodes = append(nodes, n.Node+" "+string(seen.State)+inBrackets(seen.Reason))
			for _, s := range seen.Of {
				told = append(told, n.Node+" "+string(s.Fate)+inBrackets(s.Reason))
			}
		}
		slices.Sort(told)
		text := strings.Join(nodes, ", ")
		if len(told) > 0 {
			text += "; " + strings.Join(told, ", ")
		}
		places = append(places, text)
	}
	text := strings.Join(places, " | ")
	for _, name := range r.Silent {
		text += "; no answer of " + name
	}
	for _, g := range r.Gone {
		text += "; no " + g.Node
	}
	return text
}

func inBrackets(reason string) string {
	if reason == "" {
		return ""
	}
	return "(" + reason + ")"
}

// settle waits until a user has no session any more.
func (w *traces) settle(t *testing.T, user string) {
	t.Helper()
	n := w.publishOne(t, "user:"+user)
	id := fmt.Sprint("n-", n)
	eventually(t, 30*time.Second, user+" has no session", func() error {
		r, err := w.trace(user, id)
		if err != nil {
			return err
		}
		for _, n := range r.Nodes {
			for _, p := range n.Places {
				for _, s := range p.Of {
					if s.Ended.IsZero() || s.Code == 0 {
						return fmt.Errorf("%+v", s)
					}
				}
			}
		}
		return nil
	})
}

// expire publishes messages that are past their ttl when their user comes back.
func (w *traces) expire(t *testing.T) {
	dave := w.mustConnect(t, overV1, w.nodes[0].addr, w.pass("dave", nil), "")
	number := w.publishOne(t, "user:dave")
	w.hears(t, dave, number)
	seen, _ := dave.heard(isNumber(number))
	dave.shut()
	w.settle(t, "dave")
	var ids, all []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("expired-%d", i))
		all = append(all, fmt.Sprintf(`{"id":%q,"to":"user:dave","ttl":1,"data":1}`, ids[i]))
	}
	w.add(t, all...)
	eventually(t, 30*time.Second, "they are past their ttl", func() error {
		r, err := w.trace("dave", ids[9])
		if err == nil && (len(r.Places) != 1 || time.Since(r.Places[0].LoggedAt) < 1500*time.Millisecond) {
			err = errors.New("not yet")
		}
		return err
	})
	back := w.mustConnect(t, overV1, w.nodes[1].addr, w.pass("dave", nil), "&resume=orders:"+seen.Cursor)
	w.hears(t, back, w.publishOne(t, "user:dave"))
	w.know("n1 read, n2 read, n3 read; n1 not_attached_then, n2 expired", "dave", ids...)
}

// repeat publishes messages twice.
func (w *traces) repeat(t *testing.T, devices ...*guest) {
	ids := w.publish10(t, "repeated", "user:alice")
	w.publish10(t, "repeated", "user:alice")
	w.know("n1 read, n2 read, n3 read; n1 written, n2 written | "+
		"n1 duplicate, n2 duplicate, n3 duplicate; n1 duplicate, n2 duplicate", "alice", ids...)
}

// poison puts entries on the bus that cannot be decoded.
func (w *traces) poison(t *testing.T) {
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("poison-%d", i)
		ids = append(ids, id)
		must(t, w.redis.XAdd(t.Context(), &redis.XAddArgs{
			Stream: "fanfare.orders", Values: []any{"id", id, "to", "nonsense", "data", "1"},
		}).Err())
	}
	w.know("n1 poison, n2 poison, n3 poison; n1 poison, n2 poison", "alice", ids...)
}

// lose stops a node while messages are published, and trims the log before it goes on: it has
// lost them, and the others have not. While it stands still, it has no answer.
func (w *traces) lose(t *testing.T) {
	frank := w.mustConnect(t, overV1, w.nodes[0].addr, w.pass("frank", nil), "")
	also := w.mustConnect(t, overV1, w.nodes[1].addr, w.pass("frank", nil), "")
	number := w.publishOne(t, "user:frank")
	w.hears(t, frank, number)
	w.hears(t, also, number)
	stopped := w.c.nodes[1].cmd.Process
	must(t, stopped.Signal(syscall.SIGSTOP))
	goesOn := false
	defer func() {
		if !goesOn {
			_ = stopped.Signal(syscall.SIGCONT)
		}
	}()
	for range 5 { // what is under way to the node when it is stopped
		w.hears(t, frank, w.publishOne(t, "user:frank"))
	}
	ids := w.publish10(t, "lost", "user:frank")
	w.hears(t, frank, w.publishOne(t, "user:frank"))
	eventually(t, 30*time.Second, "the node that stands still has no answer", func() error {
		r, err := w.trace("frank", ids[0])
		if got := fateIn(&r); err == nil && got != "n1 read, n3 read; n1 written; no answer of n2" {
			err = errors.New(got)
		}
		return err
	})
	must(t, w.redis.XTrimMaxLen(t.Context(), "fanfare.orders", 1).Err())
	must(t, stopped.Signal(syscall.SIGCONT))
	goesOn = true
	also.wants(t, "a gap", func(n notice) bool { return n.Op == "gap" && n.Reason == "trimmed" })
	w.know("n1 read, n2 gap(trimmed), n3 read; n1 written, n2 gap(trimmed)", "frank", ids...)
}

// kill kills a node. What its sessions had, nobody can say; that it is gone, is said.
func (w *traces) kill(t *testing.T) {
	erin := w.mustConnect(t, overV1, w.nodes[2].addr, w.pass("erin", nil), "")
	before := w.publish10(t, "before", "user:erin")
	w.hears(t, erin, w.publishOne(t, "user:erin"))
	w.all = nil
	w.know("n1 read, n2 read, n3 read; n3 written", "erin", before...)
	w.check(t)
	w.c.nodes[2].kill()
	meanwhile := w.publish10(t, "meanwhile", "user:erin")
	w.wantLive(t, 60*time.Second, w.nodes[0], "n1", "n2")
	w.all = nil
	w.know("n1 read, n2 read; no n3", "erin", append(before, meanwhile...)...)
	w.check(t)
}

// commandLine wants the command to say the same.
func (w *traces) commandLine(t *testing.T, user, id string, words ...string) {
	t.Helper()
	cmd := exec.Command(fanfareBinary, "trace", id, "--system", "orders", "--user", user, "--url", "http://"+w.nodes[0].addr)
	cmd.Env = environ(settings{"KEY": w.key})
	out, _ := cmd.CombinedOutput() // it fails for what is trimmed
	for _, word := range words {
		if !strings.Contains(string(out), word) {
			t.Errorf("fanfare trace %s: want %q in\n%s", id, word, out)
		}
	}
}
