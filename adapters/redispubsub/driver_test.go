package redispubsub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, rawURL string) transport.Driver {
	t.Helper()
	return driverkit.Open(t, redispubsub.Open, rawURL)
}

// follow follows a topic from now on.
func follow(t testing.TB, d transport.Driver, topic string) transport.Feed {
	t.Helper()
	return driverkit.Follow(t, d, topic, "")
}

// shared makes all feeds of a driver share connections.
const shared = "?read_connections=0"

// eachWay runs a test with feeds that have connections of their own, and with
// feeds that share them.
func eachWay(t *testing.T, test func(t *testing.T, params string)) {
	t.Run("own connection", func(t *testing.T) { test(t, "") })
	t.Run("shared connection", func(t *testing.T) { test(t, shared) })
}

func TestForeignersPublishAndReadBarePayloads(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis"))
	f := follow(t, d, "fanfare.orders")
	envelope := `{"to":"user:alice","type":"order.paid","data":{"n":1}}`
	if got := s.CLI("PUBLISH", "fanfare.orders", envelope); got != "1" {
		t.Fatalf("PUBLISH = %s receivers", got)
	}
	want := []domain.Entry{{Body: []byte(envelope)}}
	if diff := cmp.Diff(want, driverkit.Read(t, f, 1)); diff != "" {
		t.Error(diff)
	}

	theirs := s.Client().Subscribe(t.Context(), "fanfare.orders")
	defer theirs.Close()
	if _, err := theirs.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	driverkit.Publish(t, d, "fanfare.orders", driverkit.Raw(envelope))
	m, err := theirs.ReceiveMessage(t.Context())
	if err != nil || m.Payload != envelope {
		t.Fatalf("a foreign subscriber received %v, %v", m, err)
	}
}

// What our publishers send is numbered, in the envelope's first field, which
// foreigners ignore; and what these send is no hole in the numbers.
func TestOnTheWireEnvelopesAreNumbered(t *testing.T) {
	s := broker.Redis(t)
	bus := transport.New(open(t, s.URL("redis")), transport.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	f := follow(t, open(t, s.URL("redis")), "t")
	for _, envelope := range []string{`{"to":"*","data":1}`, `{"to":"*","data":2}`} {
		if err := bus.Publish("t", driverkit.Raw(envelope)); err != nil {
			t.Fatal(err)
		}
		s.CLI("PUBLISH", "t", envelope)
	}
	got := driverkit.Read(t, f, 4)
	for i, want := range []string{`:1","to":"*","data":1}`, `{"to":"*","data":1}`, `:2","to":"*","data":2}`, `{"to":"*","data":2}`} {
		body := string(got[i].Body)
		if stamped := strings.HasPrefix(body, `{"stamp":"`); stamped != (i%2 == 0) || !strings.HasSuffix(body, want) {
			t.Errorf("on the wire: %s, want …%s", body, want)
		}
	}
}

func TestAMessageThatJSONWouldChangeIsRefusedAndTheOthersAreSent(t *testing.T) {
	s := broker.Redis(t)
	d := open(t, s.URL("redis"))
	f := follow(t, d, "t")
	bad := message.NewMessage("\xff", nil)
	errs := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("1"), bad, driverkit.Raw("2")))
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], domain.ErrInvalid) || errs[2] != nil {
		t.Fatalf("errors %v", errs)
	}
	got := driverkit.Read(t, f, 2)
	if string(got[0].Body)+string(got[1].Body) != "12" {
		t.Fatalf("read %+v", got)
	}
}

func TestAFeedEndsWhenTheServerDies(t *testing.T) {
	eachWay(t, func(t *testing.T, params string) {
		s := broker.Redis(t)
		d := open(t, s.URL("redis")+params)
		f := follow(t, d, "t")
		driverkit.Publish(t, d, "t", driverkit.Raw("1"))
		driverkit.Read(t, f, 1)
		s.Kill()
		if _, err := driverkit.WaitForEnd(t, f); !errors.Is(err, domain.ErrBusDown) {
			t.Fatalf("error %v", err)
		}
		if _, err := d.Follow(t.Context(), "t", ""); !errors.Is(err, domain.ErrBusDown) {
			t.Fatalf("Follow: %v", err)
		}
		errs := d.Publish(t.Context(), driverkit.Outgoing("t", driverkit.Raw("2"), driverkit.Raw("3")))
		if len(errs) != 2 || !errors.Is(errs[0], domain.ErrBusDown) || !errors.Is(errs[1], domain.ErrBusDown) {
			t.Fatalf("Publish: %v", errs)
		}
		if err := d.Ping(t.Context()); !errors.Is(err, domain.ErrBusDown) {
			t.Fatalf("Ping: %v", err)
		}
		s.Restart()
		f = follow(t, d, "t")
		driverkit.Publish(t, d, "t", driverkit.Raw("4"))
		if got := driverkit.Read(t, f, 1); string(got[0].Body) != "4" {
			t.Fatalf("read %+v", got)
		}
		if _, err := f.Read(canceled()); err == nil {
			t.Fatal("a canceled Read returned nothing and no error")
		}
	})
}

func TestAConnectionThatSwallowsBytesIsNoticedWithinFiveSeconds(t *testing.T) {
	eachWay(t, func(t *testing.T, params string) {
		s := broker.Redis(t)
		d := open(t, s.URL("redis")+params)
		f := follow(t, d, "t")
		s.Freeze()
		took, err := driverkit.WaitForEnd(t, f)
		s.Thaw()
		if !errors.Is(err, domain.ErrBusDown) || took > 5*time.Second {
			t.Fatalf("after %v: %v", took, err)
		}
	})
}

func TestAQuietFeedStaysAliveByPings(t *testing.T) {
	eachWay(t, func(t *testing.T, params string) {
		s := broker.Redis(t)
		d := open(t, s.URL("redis")+params)
		f := follow(t, d, "t")
		go func() {
			driverkit.Poll(t, func() bool { // two pings later
				return strings.Contains(s.CLI("INFO", "commandstats"), "cmdstat_ping:calls=4")
			})
			s.CLI("PUBLISH", "t", "late")
		}()
		if got := driverkit.Read(t, f, 1); string(got[0].Body) != "late" {
			t.Fatalf("read %+v", got)
		}
	})
}

func TestAServerThatCutsASlowReaderEndsTheFeed(t *testing.T) {
	s := broker.Redis(t, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
	d := open(t, s.URL("redis"))
	f := follow(t, d, "t")
	big := driverkit.Raw(strings.Repeat("x", 256<<10))
	cut := func() bool {
		driverkit.Publish(t, d, "t", big, big, big, big)
		return s.CLI("PUBSUB", "NUMSUB", "t") == "t\n0"
	}
	driverkit.Poll(t, cut)
	if _, err := driverkit.WaitForEnd(t, f); !errors.Is(err, domain.ErrBusDown) {
		t.Fatalf("error %v", err)
	}
}

// What others put on a channel, however odd, is handed on as it is, in order.
func TestHostilePayloadsNeverStopTheFeed(t *testing.T) {
	eachWay(t, func(t *testing.T, params string) {
		s := broker.Redis(t)
		d := open(t, s.URL("redis")+params)
		f := follow(t, d, "t")
		hostile := []string{
			"", "\x00", "{", `{"_watermill_message_uuid":`, `{"_watermill_message_uuid":5,"payload":"x"}`,
			`{"_watermill_message_uuid":"a","payload":"%%%"}`, "*1\r\n$4\r\nPING\r\n", strings.Repeat("[", 100_000), "pong", "\xff\xfe",
		}
		c := s.Client()
		const n = 300
		for i := range n {
			if err := c.Publish(t.Context(), "t", hostile[i%len(hostile)]).Err(); err != nil {
				t.Fatal(err)
			}
			driverkit.Publish(t, d, "t", driverkit.Raw(fmt.Sprint("good ", i)))
		}
		got := driverkit.Read(t, f, 2*n)
		for i := range n {
			if string(got[2*i].Body) != hostile[i%len(hostile)] || string(got[2*i+1].Body) != fmt.Sprint("good ", i) {
				t.Fatalf("at %d: %q, %q", i, got[2*i].Body, got[2*i+1].Body)
			}
		}
	})
}

// A subscription counts when the server has confirmed this very one.
func TestOnlyAConfirmationOfThisChannelIsOne(t *testing.T) {
	for answer, good := range map[string]bool{
		"*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n":    true,
		"*3\r\n$9\r\nsubscribe\r\n$1\r\nu\r\n:1\r\n":    false,
		"*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$1\r\nx\r\n": false,
		"+OK\r\n":     false,
		"+QUEUED\r\n": false,
		"-NOPERM\r\n": false,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			_, _ = nc.Read(make([]byte, 1024)) // the command
			_, _ = io.WriteString(nc, answer)
			_, _ = nc.Read(make([]byte, 1)) // until the other side closes
		}()
		f, err := open(t, "redis://"+l.Addr().String()+"/0").Follow(t.Context(), "t", "")
		if (err == nil) != good {
			t.Errorf("%q: %v", answer, err)
		}
		if err == nil {
			_ = f.Close()
		}
		_ = l.Close()
		<-served
	}
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	u, _ := url.Parse("redis://u:hunter2@127.0.0.1:1/0?retention=1h")
	_, err := redispubsub.Open(t.Context(), u, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), `"retention"`) || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error %v", err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
