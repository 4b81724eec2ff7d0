package plane_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// echoing has nodes answer with their name and what they were asked.
func echoing(c *plane.Config) {
	name := c.Control.Node
	c.Answerers = plane.NewAnswerers(name)
	c.Answerers.Handle("echo", func(_ context.Context, body []byte) ([]byte, error) {
		return fmt.Appendf(nil, `["%s",%s]`, name, body), nil
	})
}

// ask asks, and returns what was answered.
func (n *node) ask(kind, body string) (answers string, took time.Duration) {
	n.t.Helper()
	began := time.Now()
	a, err := n.Ask(n.t.Context(), kind, []byte(body))
	if err != nil {
		n.t.Error(err)
	}
	return said(a), time.Since(began)
}

func said(a control.Answers) string {
	var b strings.Builder
	for _, one := range a.From {
		fmt.Fprintf(&b, "%s: %s%s; ", one.Node, one.Body, one.Err)
	}
	fmt.Fprintf(&b, "silent: %v, complete: %v", a.Silent, a.Complete)
	return b.String()
}

func TestAllNodesAnswer(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		_, two, three := three(t, bus, echoing)
		want := `n1: ["n1",{"x":1}]; n2: ["n2",{"x":1}]; n3: ["n3",{"x":1}]; silent: [], complete: true`
		if got, took := two.ask("echo", `{"x":1}`); got != want || took > 500*time.Millisecond {
			t.Errorf("after %v: %s", took, got)
		}
		want = `n1: unknown; n2: unknown; n3: unknown; silent: [], complete: true`
		if got, _ := three.ask("later", ""); got != want {
			t.Error(got)
		}
		if _, err := two.Ask(t.Context(), "echo", []byte("no JSON")); !errors.Is(err, domain.ErrInvalid) {
			t.Error(err)
		}
	})
}

func TestASilentNodeIsNamed(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, _, three := three(t, bus, echoing)
		three.link.Part()
		want := `n1: ["n1",1]; n2: ["n2",1]; silent: [n3], complete: false`
		if got, took := one.ask("echo", "1"); got != want || took != plane.MaxAsk {
			t.Errorf("after %v: %s", took, got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if a, err := one.Ask(ctx, "echo", []byte("1")); err != nil || said(a) != want || time.Since(began) != time.Second {
			t.Errorf("after %v: %v %v", time.Since(began), a, err)
		}
		three.link.Heal()
		time.Sleep(10 * time.Second)
		if got, _ := one.ask("echo", "2"); !strings.HasSuffix(got, `n3: ["n3",2]; silent: [], complete: true`) {
			t.Error(got)
		}
		three.stop()
		if got, took := one.ask("echo", "3"); got != `n1: ["n1",3]; n2: ["n2",3]; silent: [], complete: true` || took > time.Second {
			t.Errorf("after %v: %s", took, got)
		}
		if _, err := three.Ask(t.Context(), "echo", nil); !errors.Is(err, domain.ErrClosed) {
			t.Error(err)
		}
	})
}

// An answerer that fails, is slow or causes a panic spoils its own answer alone.
func TestAnswerersMayFail(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus, echoing)
		one.Handle("fail", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no disk") })
		two.Handle("fail", func(context.Context, []byte) ([]byte, error) { panic("oh") })
		three.Handle("fail", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		want := `n1: no disk; n2: the answerer has failed: the node's log says why; ` +
			`n3: context deadline exceeded; silent: [], complete: true`
		if got, took := one.ask("fail", ""); got != want || took >= plane.MaxAsk {
			t.Errorf("after %v: %s", took, got)
		}
		if two.logs.count("caused a panic") != 1 {
			t.Error("the log does not name the panic once")
		}
		want = `n1: not JSON; n2: the answer is not JSON; n3: too_large; silent: [], complete: true`
		one.Handle("wrong", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("not JSON") })
		two.Handle("wrong", func(context.Context, []byte) ([]byte, error) { return []byte("x"), nil })
		three.Handle("wrong", func(context.Context, []byte) ([]byte, error) {
			return []byte(`"` + strings.Repeat("x", control.MaxBody) + `"`), nil
		})
		for _, asker := range []*node{one, two, three} {
			if got, _ := asker.ask("wrong", ""); got != want {
				t.Errorf("%s: %s", asker.names(), got)
			}
		}
	})
}

// A hundred askers at once share messages, and nobody is forgotten.
func TestManyAskAtOnce(t *testing.T) {
	onBuses(t, func(t *testing.T, bus *faulty.Bus) {
		one, two, three := three(t, bus, echoing)
		before := value(two, "control_sent_total")
		var asking sync.WaitGroup
		for i := range 40 {
			for _, n := range []*node{one, two, three} {
				asking.Go(func() {
					body := fmt.Sprint(i)
					want := fmt.Sprintf(`n1: ["n1",%s]; n2: ["n2",%s]; n3: ["n3",%s]; silent: [], complete: true`, body, body, body)
					if got, _ := n.ask("echo", body); got != want {
						t.Error(got)
					}
				})
			}
		}
		asking.Wait()
		if n := value(two, "control_sent_total") - before; n > 30 {
			t.Errorf("%v messages", n)
		}
	})
}

// A node without a control plane answers alone.
func TestANodeThatIsAloneAnswers(t *testing.T) {
	a := plane.NewAnswerers("n1")
	a.Handle("echo", func(_ context.Context, body []byte) ([]byte, error) { return body, nil })
	got, err := a.Ask(t.Context(), "echo", []byte("1"))
	if err != nil || said(got) != "n1: 1; silent: [], complete: false" {
		t.Errorf("%s %v", said(got), err)
	}
}

// That a node ends does not wait for its answerers longer than they need to give up.
func TestANodeEndsWhileItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := faulty.New(faulty.Config{})
		defer bus.Close()
		one, two, _ := three(t, bus, echoing)
		began := make(chan struct{})
		two.Handle("slow", func(ctx context.Context, _ []byte) ([]byte, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		answered := make(chan string, 1)
		go func() {
			got, _ := one.ask("slow", "")
			answered <- got
		}()
		<-began
		now := time.Now()
		two.stop()
		if took := time.Since(now); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if got := <-answered; got != "n1: unknown; n3: unknown; silent: [n2], complete: false" {
			t.Error(got)
		}
	})
}
