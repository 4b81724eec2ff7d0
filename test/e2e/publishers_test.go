package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

// A publisher publishes letters to the system orders, in order.
type publisher func(letters []*letter) error

// overHTTP publishes with the API, through what stands before the nodes, and
// takes the ids from the answers.
func (c *cluster) overHTTP(letters []*letter) error {
	for _, l := range letters {
		a, err := c.post("orders", l.json())
		if err == nil && a.status != http.StatusAccepted {
			err = fmt.Errorf("status %d: %s", a.status, a.body)
		}
		if err != nil {
			return fmt.Errorf("HTTP: %v: %w", l.label, err)
		}
		l.id = a.ID
	}
	return nil
}

// withCLI publishes with fanfare publish.
func (c *cluster) withCLI(letters []*letter) error {
	for _, l := range letters {
		args := []string{"publish", "--url", "http://" + c.front, "--system", "orders", "--type", "test.letter"}
		for _, to := range l.to {
			args = append(args, "--to", to)
		}
		data, _ := json.Marshal(l.data())
		cmd := exec.Command(fanfareBinary, append(args, "--data", string(data))...)
		cmd.Env = environ(settings{"KEY": c.key})
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fanfare publish: %v: %w: %s", l.label, err, out)
		}
	}
	return nil
}

// withRedisCLI publishes with redis-cli, as a person would.
func withRedisCLI(r *broker.RedisServer, streams bool) publisher {
	return func(letters []*letter) error {
		_, port, _ := strings.Cut(r.Addr(), ":")
		for _, l := range letters {
			args := []string{"-p", port, "PUBLISH", "fanfare.orders", l.json()}
			if streams {
				data, _ := json.Marshal(l.data())
				to := l.to[0]
				if len(l.to) > 1 {
					all, _ := json.Marshal(l.to)
					to = string(all)
				}
				args = []string{"-p", port, "XADD", "fanfare.orders", "*", "to", to, "type", "test.letter", "data", string(data)}
			}
			out, err := exec.Command("redis-cli", args...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "ERR") {
				return fmt.Errorf("redis-cli: %v: %w: %s", l.label, err, out)
			}
		}
		return nil
	}
}

// withPython publishes with the Python package redis.
func withPython(python string, r *broker.RedisServer, streams bool) publisher {
	return func(letters []*letter) error {
		_, port, _ := strings.Cut(r.Addr(), ":")
		how := "publish"
		if streams {
			how = "xadd"
		}
		cmd := exec.Command(python, "testdata/publisher.py", port, "fanfare.orders", how)
		var lines strings.Builder
		for _, l := range letters {
			lines.WriteString(l.json() + "\n")
		}
		cmd.Stdin = strings.NewReader(lines.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("publisher.py: %w: %s", err, out)
		}
		return nil
	}
}

// withWatermill publishes with the stock watermill-redisstream publisher, by
// turns as an envelope and with the targets in the metadata.
func withWatermill(r *broker.RedisServer) publisher {
	return func(letters []*letter) (err error) {
		client := redis.NewClient(&redis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true})
		p, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		for i, l := range letters {
			l.id = watermill.NewULID()
			m := message.NewMessage(l.id, []byte(l.json()))
			if i%2 == 1 {
				data, _ := json.Marshal(l.data())
				to, _ := json.Marshal(l.to)
				m = message.NewMessage(l.id, data)
				m.Metadata = message.Metadata{"to": string(to), "type": "test.letter"}
			}
			if err := p.Publish("fanfare.orders", m); err != nil {
				return fmt.Errorf("watermill: %v: %w", l.label, err)
			}
		}
		return nil
	}
}

// withNATS publishes with nats.go, by turns as an envelope and with the targets
// in headers; to a stream it waits for the acknowledgement.
func withNATS(s *broker.NATSServer, stream bool) publisher {
	return func(letters []*letter) error {
		nc, err := nats.Connect(s.URL("nats"))
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		for i, l := range letters {
			m := &nats.Msg{Subject: "fanfare.orders", Data: []byte(l.json())}
			if i%2 == 1 {
				to, _ := json.Marshal(l.to)
				m.Data, _ = json.Marshal(l.data())
				m.Header = nats.Header{"to": {string(to)}, "type": {"test.letter"}}
			}
			if stream {
				_, err = js.PublishMsg(context.Background(), m)
			} else {
				err = nc.PublishMsg(m)
			}
			if err != nil {
				return fmt.Errorf("nats: %v: %w", l.label, err)
			}
		}
		return nc.Flush()
	}
}

// An answer is what the API says.
type answer struct {
	status int
	header http.Header
	body   string

	ID     string   `json:"id"`
	IDs    []string `json:"ids"`
	Cursor string   `json:"cursor"`
	Errors []struct{ Location, Message string }
}

// post publishes a body to a system.
func (c *cluster) post(system, body string) (answer, error) {
	return c.postTo(c.front, system, body)
}

func (c *cluster) postTo(addr, system, body string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+addr+"/v1/systems/"+system+"/messages", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.key)
	return do(req)
}

func do(req *http.Request) (a answer, err error) {
	res, err := httpClient.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a.status, a.header, a.body = res.StatusCode, res.Header, string(body)
	_ = json.Unmarshal(body, &a) // what is no JSON is seen in body
	return a, err
}

// mustPost publishes a letter and fails the test if that fails.
func (c *cluster) mustPost(t *testing.T, l *letter) {
	t.Helper()
	if err := c.overHTTP([]*letter{l}); err != nil {
		t.Fatal(err)
	}
}

// logOf returns the place of every label in a stream.
func logOf(t *testing.T, r *broker.RedisServer) map[label]int {
	t.Helper()
	entries, err := r.Client().XRange(context.Background(), "fanfare.orders", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	log := make(map[label]int)
	for i, e := range entries {
		body, _ := e.Values["data"].(string)
		if body == "" {
			body, _ = e.Values["payload"].(string)
		}
		note(log, labelOf([]byte(body)), i)
	}
	return log
}

// streamOf is logOf on JetStream.
func streamOf(t *testing.T, s *broker.NATSServer) map[label]int {
	t.Helper()
	js, err := jetstream.New(s.Client())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "fanfare_orders")
	if err != nil {
		t.Fatal(err)
	}
	log := make(map[label]int)
	for i := range stream.CachedInfo().State.LastSeq {
		m, err := stream.GetMsg(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		note(log, labelOf(m.Data), int(i))
	}
	return log
}

// labelOf reads the label of data, or of an envelope's.
func labelOf(body []byte) label {
	var envelope struct{ Data json.RawMessage }
	l := readLabel(body)
	if l.P == "" && json.Unmarshal(body, &envelope) == nil {
		l = readLabel(envelope.Data)
	}
	return l
}

// note notes a label's place; a repetition does not count.
func note(log map[label]int, l label, place int) {
	if _, twice := log[l]; !twice {
		log[l] = place
	}
}
