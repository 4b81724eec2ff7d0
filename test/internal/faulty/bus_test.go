package faulty_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

const topic = "orders"

func publish(t *testing.T, d transport.Driver, texts ...string) (errs []error) {
	t.Helper()
	var records []transport.Outgoing
	for _, text := range texts {
		records = append(records, transport.Outgoing{Topic: topic, Message: message.NewMessage("", []byte(text))})
	}
	return d.Publish(t.Context(), records)
}

func follow(t *testing.T, d transport.Driver) transport.Feed {
	t.Helper()
	f, err := d.Follow(t.Context(), topic, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// hears reads until so much has come, and when the last of it did.
func hears(t *testing.T, f transport.Feed, want ...string) time.Time {
	t.Helper()
	var got []string
	for len(got) < len(want) {
		batch, err := f.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			got = append(got, string(e.Body))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it heard %q, want %q", got, want)
	}
	return time.Now()
}

func TestPlansAreForTheNextMessagesAndForTheLinksNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := faulty.New(faulty.Config{Lossy: true, Spare: func(p []byte) bool { return bytes.HasPrefix(p, []byte("spare")) }})
		defer b.Close()
		one, two := b.Link(), b.Link()
		first, second, p := follow(t, one.Driver()), follow(t, two.Driver()), b.Link().Driver()
		start := time.Now()
		b.Plan(topic, 2, faulty.Plan{Drop: true, Links: []*faulty.Link{one}})
		b.Plan(topic, 1, faulty.Plan{Delay: time.Hour, Links: []*faulty.Link{two}})
		if errs := publish(t, p, "spare 1", "a", "b", "c"); errs != nil {
			t.Errorf("publishing: %v", errs)
		}
		if !b.Delays(topic, two) || b.Delays(topic, one) {
			t.Error("the wrong link is delayed")
		}
		hears(t, first, "spare 1", "c")
		if at := hears(t, second, "spare 1"); !at.Equal(start) {
			t.Errorf("what was before took %v", at.Sub(start))
		}
		if took := hears(t, second, "a", "b", "c").Sub(start); took != time.Hour {
			t.Errorf("what was delayed took %v", took)
		}

		b.Plan(topic, 1, faulty.Plan{Twice: true})
		b.Plan(topic, 2, faulty.Plan{LostAnswer: true})
		errs := publish(t, p, "d", "e", "f")
		if len(errs) != 3 || errs[0] == nil || errs[1] == nil || errs[2] != nil {
			t.Errorf("publishing: %v", errs)
		}
		hears(t, first, "d", "d", "e", "f")
		hears(t, second, "d", "d", "e", "f")
		if got := len(b.Carried(topic)); got != 8 {
			t.Errorf("the bus carried %d", got)
		}

		b.Plan(topic, 1, faulty.Plan{Delay: time.Hour})
		publish(t, p, "g")
		go func() { time.Sleep(time.Minute); b.Unplan() }()
		start = time.Now()
		if took := hears(t, first, "g").Sub(start); took != time.Minute {
			t.Errorf("what was no longer delayed took %v", took)
		}
	})
}

func TestPartedLinkPassesNothingAndOthersStayUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := faulty.New(faulty.Config{})
		defer b.Close()
		link := b.Link()
		parted, whole := link.Driver(), b.Link().Driver()
		f, other := follow(t, parted), follow(t, whole)
		link.Part()
		if _, err := f.Read(t.Context()); err == nil {
			t.Error("its feed goes on")
		}
		if _, err := parted.Follow(t.Context(), topic, ""); err == nil {
			t.Error("it followed")
		}
		if errs := publish(t, parted, "x"); errs == nil || parted.Ping(t.Context()) == nil {
			t.Error("it was answered")
		}
		publish(t, whole, "a")
		hears(t, other, "a")
		link.Heal()
		again, err := parted.Follow(t.Context(), topic, f.Begin())
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		hears(t, again, "a")
	})
}

func TestDeafLinkNoticesAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := faulty.New(faulty.Config{})
		defer b.Close()
		link := b.Link()
		d := link.Driver()
		f := follow(t, d)
		start := time.Now()
		link.Deafen()
		if errs := publish(t, d, "a"); errs != nil || d.Ping(t.Context()) != nil {
			t.Error("the bus did not answer")
		}
		if _, err := f.Read(t.Context()); err == nil {
			t.Error("it heard")
		}
		if heard := f.(transport.LastHeard).LastHeard(); !heard.Equal(start) || time.Since(start) > 3*time.Second {
			t.Errorf("it heard last at %v, and noticed after %v", heard.Sub(start), time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Follow(ctx, topic, f.Begin()); err == nil {
			t.Error("the bus confirmed")
		}
		link.Heal()
		again, err := d.Follow(t.Context(), topic, f.Begin())
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		hears(t, again, "a")
	})
}
