package jetstream

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// What an answer says about a record: nothing, that the stream has stored it, that it has
// not, or that this is unknown.
func TestAnAnswerIsTakenForWhatItSays(t *testing.T) {
	refused, full := domain.ErrBusRefused, domain.ErrBusFull
	for answer, want := range map[string]error{
		`{"stream":"S","seq":1}`:                                                                                     nil,
		`{"stream":"S","domain":"hub","seq":1}`:                                                                      nil,
		`{"stream":"S","seq":1,"duplicate":true}`:                                                                    nil,
		`{ "seq" : 18446744073709551615,"stream":"S"}`:                                                               nil,
		`{"error":{"code":400,"err_code":10109,"description":"sealed"},"stream":"S","seq":0}`:                        refused,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}`:     full,
		`{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}`:                             full,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S"}`:  domain.ErrTooLarge,
		`{"error":{"code":400,"err_code":10097,"description":"header size exceeds maximum"},"stream":"S"}`:           domain.ErrTooLarge,
		`{"error":{"code":503,"err_code":10077,"description":"message too large"},"stream":"S","seq":0}`:             domain.ErrTooLarge,
		`{"error":{"code":503,"err_code":10077,"description":"store is closed"},"stream":"S","seq":0}`:               domain.ErrBusDown,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"other","seq":0}`: &foreignAnswer{},
		`{"error":{"code":503,"description":"no"},"stream":"S"}`:                                                     &foreignAnswer{},
		`{"stream":"other","seq":1}`:                                                                                 &foreignAnswer{},
		`{"stream":"S","seq":0}`:                                                                                     &foreignAnswer{},
		`{"stream":"S","seq":-1}`:                                                                                    &foreignAnswer{},
		`{"stream":"S","seq":01}`:                                                                                    &foreignAnswer{},
		`{"stream":"S","seq":1}x`:                                                                                    &foreignAnswer{},
		`+OK`:                                                                                                        &foreignAnswer{},
		``:                                                                                                           &foreignAnswer{},
	} {
		_, err := readAck(&nats.Msg{Data: []byte(answer)}, "S")
		if odd := (*foreignAnswer)(nil); errors.As(want, &odd) {
			if !errors.As(err, &odd) || errors.Is(err, domain.ErrBusDown) {
				t.Errorf("%s: %v", answer, err)
			}
			continue
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", answer, err, want)
		}
		certain := errors.Is(want, refused) || errors.Is(want, full)
		if errors.Is(err, refused) != certain {
			t.Errorf("%s: certainly refused: %v", answer, err)
		}
	}
}

// The server does not say which message it has refused. If other messages of the topic are
// unanswered, too, none of them is certainly refused.
func TestARefusalIsOfNobodyInParticular(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `authorization { users: [{user: u, password: p, permissions: {publish: {deny: ["t"]}}}] }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	u := &url.URL{Scheme: "nats", User: url.UserPassword("u", "p"), Host: broker.NATS(t, "--config", file).Addr()}
	server, err := natsconn.Parse(u, dsn.NewParams(u))
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	defer client.Close()
	conn, err := client.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused := conn.WatchRefusals()
	defer refused.Stop()
	if err := conn.Publish("t", nil); err != nil {
		t.Fatal(err)
	}
	<-refused.Changed()

	b := newPendingBatch(2)
	b.resolveRefused([]transport.Outgoing{{Topic: "t"}, {Topic: "t"}}, refused)
	for _, err := range b.finish(domain.ErrBusDown) {
		if errors.Is(natsconn.ClassifyRefusal(err), domain.ErrBusRefused) {
			t.Errorf("one of two: %v", err)
		}
	}
	b = newPendingBatch(2)
	b.resolveRefused([]transport.Outgoing{{Topic: "t"}, {Topic: "t.more"}}, refused)
	if errs := b.finish(nil); !errors.Is(natsconn.ClassifyRefusal(errs[0]), domain.ErrBusRefused) || errs[1] != natsconn.ErrUnanswered {
		t.Errorf("errors %v", errs)
	}
}
