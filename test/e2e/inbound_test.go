package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	floodRoom  = 7 << 20          // what Redis may take beside what it has
	floodTime  = 10 * time.Second // at 1 MiB/s, which is what a user may send
	floodBytes = 60_000           // of each message
)

// A flood is one user who sends to the business system as fast as the limits
// allow, on several connections, and reconnects when a connection is closed.
type flood struct {
	c             *cluster
	quit          chan struct{}
	work          sync.WaitGroup
	taken, denied atomic.Int64
}

func startFlood(c *cluster) *flood {
	f := &flood{c: c, quit: make(chan struct{})}
	for range 4 {
		f.work.Go(func() {
			for !isOver(f.quit) {
				if conn, _, err := c.tryDial("mallory", "systems=orders"); err == nil {
					f.send(conn)
				}
			}
		})
	}
	return f
}

func isOver(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (f *flood) send(conn *websocket.Conn) {
	defer conn.Close()
	text := fmt.Sprintf(`{"op":"send","ref":1,"system":"orders","data":%q}`, strings.Repeat("x", floodBytes))
	for tick := time.Tick(150 * time.Millisecond); !isOver(f.quit); <-tick {
		if conn.SetReadDeadline(time.Now().Add(10*time.Second)) != nil || conn.WriteMessage(websocket.TextMessage, []byte(text)) != nil {
			return
		}
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if strings.Contains(string(frame), `"op":"ok"`) {
				f.taken.Add(1)
				break
			}
			if strings.Contains(string(frame), `"code":"rate_limited"`) {
				f.denied.Add(1)
				break
			}
		}
	}
}

func (f *flood) end() { close(f.quit); f.work.Wait() }

// A user with an ordinary token cannot stop the publishing of others by filling
// Redis with messages to a system, whether they are consumed or not. When they have
// been consumed they are removed, and there is room again.
func TestOneTokenCannotFillTheBus(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 1, r.URL("redis-streams"), nil)
	rdb := r.Client()
	var used int64
	info := rdb.InfoMap(t.Context(), "memory").Val()
	if _, err := fmt.Sscan(info["Memory"]["used_memory"], &used); err != nil {
		t.Fatal(err)
	}
	must(t, rdb.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(used+floodRoom)).Err())
	must(t, rdb.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	alice := visit(t, c, 0, "")

	f := startFlood(c)
	number := 0
	for deadline := time.Now().Add(floodTime); time.Now().Before(deadline); {
		number++
		if a, err := c.post("orders", fmt.Sprintf(`{"to":"user:alice","data":%d}`, number)); err != nil || a.status != 202 {
			t.Fatalf("publishing to alice while somebody sends much: %+v, %v", a, err)
		}
		if m, err := alice.next("message"); err != nil || string(m.Data) != fmt.Sprint(number) {
			t.Fatalf("alice waits for number %d: %s, %v", number, m.Data, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.end()
	const inbound = "fanfare.orders.inbound"
	taken, lies := f.taken.Load(), rdb.XLen(t.Context(), inbound).Val()
	t.Logf("%d messages taken, %d refused; %d lie in Redis", taken, f.denied.Load(), lies)
	if f.denied.Load() == 0 || taken == 0 || lies*floodBytes > 4<<20 {
		t.Errorf("%d were taken, %d refused, and %d lie there", taken, f.denied.Load(), lies)
	}

	must(t, rdb.XGroupCreate(t.Context(), inbound, "shop", "0").Err())
	got, err := rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "shop", Consumer: "c", Streams: []string{inbound, ">"}, Count: 10_000, Block: -1}).Result()
	must(t, err)
	for _, m := range got[0].Messages {
		must(t, rdb.XAck(t.Context(), inbound, "shop", m.ID).Err())
	}
	again := startFlood(c)
	eventually(t, 20*time.Second, "there is room again", func() error {
		if again.taken.Load() < 4 {
			return fmt.Errorf("%d taken, %d refused", again.taken.Load(), again.denied.Load())
		}
		return nil
	})
	again.end()
	if now := rdb.XLen(t.Context(), inbound).Val(); now > lies/2 {
		t.Errorf("%d messages lie in Redis, of which %d are new", now, again.taken.Load())
	}
}
