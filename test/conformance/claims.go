package conformance

import (
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// checkClaims compares what a driver claims with what can be seen at once. The
// other cases check the rest.
func checkClaims(r *run) {
	d, topic := r.driver(), r.topic()
	if again := d.Guarantees(); again != r.claims {
		r.Errorf("Guarantees change: %+v, then %+v", r.claims, again)
	}
	_, isLog := d.(transport.LogDriver)
	_, isGroup := d.(transport.GroupDriver)
	switch {
	case r.claims.Log && !isLog:
		r.Errorf("claims a log, but is no transport.LogDriver")
	case !r.claims.Log && isLog:
		r.report.beyond("it is a transport.LogDriver, but claims no log: nobody will read it again")
	}
	if r.claims.Log && !r.claims.AtLeast {
		r.report.beyond("it keeps a log, but claims to deliver at most once")
	}
	if r.claims.Groups && !isGroup {
		r.Errorf("claims consumer groups, but is no transport.GroupDriver")
	}
	if err := d.CheckTopic(topic); err != nil {
		r.Errorf("CheckTopic refuses the harness's own topic %q: %v", topic, err)
	}
	if d.CheckTopic("") == nil {
		r.Errorf("CheckTopic accepts a topic without a name")
	}
	ctx, cancel := r.patient()
	defer cancel()
	if err := d.Ping(ctx); err != nil {
		r.Errorf("Ping: %v", err)
	}
	r.checkPositions(d, topic)
}

// checkPositions checks that a bus with a log has a log's identity and positions,
// and that a bus without a log has neither.
func (r *run) checkPositions(d transport.Driver, topic string) {
	f := r.follow(d, topic, "")
	switch log, begin := f.Log(), f.Begin(); {
	case r.claims.Log && (log == 0 || begin == ""):
		r.Errorf("claims a log, but a feed has log %d and begins at %x", log, string(begin))
	case !r.claims.Log && (log != 0 || begin != ""):
		r.report.beyond("its feeds have positions, but it claims no log")
	}
	if r.claims.Log {
		return
	}
	ctx, cancel := r.patient()
	defer cancel()
	if g, err := d.Follow(ctx, topic, "a position"); err == nil {
		_ = g.Close()
		r.Errorf("follows after a position, though it claims no log")
	}
	r.report.cannot("be read again: who comes back later, or to another node, gets a gap")
}

// groups checks that the members of a group share a topic's messages, and that
// each group receives all of them.
func groups(r *run) {
	bus, topic := r.bus(), r.topic()
	a, err := bus.Group("a")
	switch {
	case err != nil && r.claims.Groups:
		r.Fatalf("claims consumer groups, but: %v", err)
	case err != nil && !errors.Is(err, domain.ErrUnsupported):
		r.Fatalf("Group: want domain.ErrUnsupported, got %v", err)
	case err != nil:
		r.report.cannot("share inbound topics among a consumer group: each service instance hears all")
		return
	}
	again, b := r.group("a"), r.group("b")
	one, _ := r.subscribe(a, topic)
	two, leave := r.subscribe(again, topic)
	other, _ := r.subscribe(b, topic)
	pub := r.driver()
	const n = 60
	r.publish(pub, topic, framed(1, n)...)

	refused := r.receiveFrom(one, two) // one of them may receive everything
	refused.Nack()
	for name, members := range map[string][]<-chan *message.Message{"a": {one, two}, "b": {other}} {
		r.share(name, members, n)
	}
	leave()
	r.ends(two, "after a member left")
	r.closes("a group's member", again.Close)
	r.closes("a group's member again", again.Close)
	if !r.claims.Groups {
		r.report.beyond("consumer groups work, but it does not claim them")
	}
}

func (r *run) group(name string) message.Subscriber {
	r.Helper()
	s, err := r.bus().Group(name)
	if err != nil {
		r.Fatalf("Group: %v", err)
	}
	return s
}

// framed returns messages with framing, as programs that use Watermill send.
func framed(first, last int) []*message.Message {
	all := numbered(0, first, last)
	for _, m := range all {
		delete(m.Metadata, transport.RawKey)
		m.Metadata.Set("k", "v")
	}
	return all
}

// lull is how long a group is watched for repetitions after it has received
// everything.
const lull = 200 * time.Millisecond

// share checks that the members together receive each number up to n once.
func (r *run) share(group string, members []<-chan *message.Message, n int) {
	r.Helper()
	ctx, cancel := r.patient()
	defer cancel()
	together := make(chan *message.Message)
	done := make(chan struct{})
	for _, in := range members {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case m, ok := <-in:
					if !ok {
						return
					}
					together <- m
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	seen := make(map[int]int)
	var over <-chan time.Time
	for left := len(members); left > 0; {
		select {
		case <-over:
			cancel()
		case m := <-together:
			got, ok := parseNumber(m.Payload)
			if !ok {
				r.Errorf("group %s received %q, which nobody published", group, m.Payload)
			}
			seen[got.n]++
			m.Ack()
			if len(seen) == n {
				over = time.After(lull)
			}
		case <-done:
			left--
		}
	}
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			r.Errorf("group %s received number %d %d times", group, i, seen[i])
		}
	}
}
