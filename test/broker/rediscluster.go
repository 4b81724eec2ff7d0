package broker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/freeport"
)

const (
	// clusterSlots is how many hash slots a Redis Cluster has.
	clusterSlots = 16384
	// clusterNodeTimeout is after how many milliseconds of silence a server of the
	// cluster is taken for dead.
	clusterNodeTimeout = "1000"
	// clusterTimeout bounds how long the cluster may take to agree on something.
	clusterTimeout = 30 * time.Second
)

// A RedisCluster is a Redis Cluster that belongs to one test: some masters, each with
// a replica. Its methods fail the test if something goes wrong, so only the test's own
// goroutine may call them.
type RedisCluster struct {
	t       testing.TB
	servers []*RedisServer // the masters, as they were at the beginning, and then the replicas
	ids     []string       // by server: by what name the cluster knows it
	proxies []*Proxy       // by server; nil without proxies
}

// NewRedisCluster starts a cluster, and returns when each replica can take over from
// its master. Arguments are redis-server's own; FREE_PORT in them is another port for each
// server. The cluster is stopped when the test ends.
func NewRedisCluster(t testing.TB, masters int, args ...string) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t}
	for range 2 * masters {
		own := slices.Clone(args)
		for i, arg := range own {
			if arg == "FREE_PORT" {
				own[i] = fmt.Sprint(freeport.Port(t))
			}
		}
		c.servers = append(c.servers, Redis(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
			"--cluster-node-timeout", clusterNodeTimeout, "--cluster-port", fmt.Sprint(freeport.Port(t)),
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
		}, own...)...))
	}
	c.join(masters)
	c.replicate(masters)
	return c
}

// join gives the masters their slots, and has all servers know each other.
func (c *RedisCluster) join(masters int) {
	c.t.Helper()
	first := c.servers[0]
	bus := first.args[slices.Index(first.args, "--cluster-port")+1]
	for i, s := range c.servers {
		c.ids = append(c.ids, s.CLI("CLUSTER", "MYID"))
		if i < masters {
			c.ok(s, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
			from, to := i*clusterSlots/masters, (i+1)*clusterSlots/masters-1
			c.ok(s, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(from), fmt.Sprint(to))
		}
		if i > 0 {
			c.ok(s, "CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(first.port), bus)
		}
	}
	c.await("all servers to know each other", func(s *RedisServer) bool {
		info := s.CLI("CLUSTER", "INFO")
		return strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.servers))) &&
			strings.Contains(info, "cluster_state:ok")
	})
}

// replicate gives each master a replica.
func (c *RedisCluster) replicate(masters int) {
	c.t.Helper()
	for i, s := range c.servers[masters:] {
		c.ok(s, "CLUSTER", "REPLICATE", c.ids[i])
	}
	c.await("the replicas", func(s *RedisServer) bool {
		info := s.CLI("INFO", "replication")
		return strings.Contains(info, "master_link_status:up") || strings.Contains(info, "connected_slaves:1")
	})
	c.await("everybody to know the replicas", func(s *RedisServer) bool {
		return strings.Count(s.CLI("CLUSTER", "NODES"), "slave ") == len(c.servers)-masters
	})
}

// Proxied puts a proxy before each server. [RedisCluster.URL] then leads through them.
func (c *RedisCluster) Proxied() *RedisCluster {
	for _, s := range c.servers {
		c.proxies = append(c.proxies, NewProxy(c.t, s.Addr()))
	}
	return c
}

// Proxies calls do with each proxy.
func (c *RedisCluster) Proxies(do func(*Proxy)) {
	for _, p := range c.proxies {
		do(p)
	}
}

// URL returns the cluster's URL with a scheme, such as URL("redis"). It names two of
// the servers.
func (c *RedisCluster) URL(scheme string) string {
	var pairs []string
	for i, p := range c.proxies {
		pairs = append(pairs, c.servers[i].Addr()+"="+p.Addr())
	}
	url := scheme + "://" + c.servers[0].Addr() + "," + c.servers[1].Addr() + "/0?cluster=true"
	if len(pairs) > 0 {
		url += "&cluster_map=" + strings.Join(pairs, ",")
	}
	return url
}

// Servers returns all servers.
func (c *RedisCluster) Servers() []*RedisServer { return c.servers }

// SetUser is [RedisServer.SetUser] on all servers.
func (c *RedisCluster) SetUser(name string, without ...string) {
	c.t.Helper()
	for _, s := range c.servers {
		s.SetUser(name, without...)
	}
}

// CLI runs redis-cli, which follows a key to the server that holds it.
func (c *RedisCluster) CLI(args ...string) string {
	c.t.Helper()
	return c.servers[0].CLI(append([]string{"-c"}, args...)...)
}

// Master returns the server that holds a topic, as the first server that runs knows.
func (c *RedisCluster) Master(topic string) *RedisServer {
	c.t.Helper()
	slot, err := strconv.Atoi(c.alive().CLI("CLUSTER", "KEYSLOT", topic))
	c.servers[0].must(err)
	return c.masterOf(slot)
}

// masterOf returns the master of a slot.
func (c *RedisCluster) masterOf(slot int) *RedisServer {
	c.t.Helper()
	for line := range strings.Lines(c.alive().CLI("CLUSTER", "NODES")) {
		words := strings.Fields(line) // id, address, flags, master, 4 more, and then the slots
		if len(words) < 9 || !strings.Contains(words[2], "master") {
			continue
		}
		for _, r := range words[8:] {
			first, last, isRange := strings.Cut(r, "-")
			from, err := strconv.Atoi(first)
			to := from
			if isRange {
				to, _ = strconv.Atoi(last)
			}
			if err == nil && from <= slot && slot <= to {
				return c.servers[slices.Index(c.ids, words[0])]
			}
		}
	}
	c.t.Fatalf("broker: no master holds slot %d", slot)
	return nil
}

// alive returns the first server that runs.
func (c *RedisCluster) alive() *RedisServer {
	c.t.Helper()
	for _, s := range c.servers {
		if s.process.running() {
			return s
		}
	}
	c.t.Fatal("broker: no server of the cluster runs")
	return nil
}

// Replica returns a server that replicates a master.
func (c *RedisCluster) Replica(master *RedisServer) *RedisServer {
	c.t.Helper()
	id := c.ids[slices.Index(c.servers, master)]
	for line := range strings.Lines(c.alive().CLI("CLUSTER", "NODES")) {
		if words := strings.Fields(line); len(words) > 3 && words[3] == id {
			return c.servers[slices.Index(c.ids, words[0])]
		}
	}
	c.t.Fatalf("broker: nobody replicates %s", master.Addr())
	return nil
}

// AwaitMaster waits until all servers that run know a server as the master of a topic.
func (c *RedisCluster) AwaitMaster(topic string, want *RedisServer) {
	c.t.Helper()
	id := c.ids[slices.Index(c.servers, want)]
	c.await("another master of "+topic, func(s *RedisServer) bool {
		for line := range strings.Lines(s.CLI("CLUSTER", "NODES")) {
			if words := strings.Fields(line); words[0] == id {
				return strings.Contains(words[2], "master") &&
					strings.Contains(s.CLI("CLUSTER", "INFO"), "cluster_state:ok")
			}
		}
		return false
	})
}

// Remove has the replica of the master of a topic take over, and removes the old master
// from the cluster. It goes on running, alone.
func (c *RedisCluster) Remove(topic string, master *RedisServer) {
	c.t.Helper()
	replica, id := c.Replica(master), c.ids[slices.Index(c.servers, master)]
	c.ok(replica, "CLUSTER", "FAILOVER")
	c.AwaitMaster(topic, replica)
	c.servers = slices.DeleteFunc(c.servers, func(s *RedisServer) bool { return s == master })
	c.ids = slices.DeleteFunc(c.ids, func(other string) bool { return other == id })
	for _, s := range c.servers {
		c.ok(s, "CLUSTER", "FORGET", id)
	}
	c.ok(master, "CLUSTER", "RESET", "HARD")
}

// Other returns a master that does not hold a topic.
func (c *RedisCluster) Other(topic string) *RedisServer {
	c.t.Helper()
	has := c.Master(topic)
	for slot := 0; slot < clusterSlots; slot += clusterSlots / len(c.servers) {
		if m := c.masterOf(slot); m != has {
			return m
		}
	}
	c.t.Fatal("broker: the cluster has one master")
	return nil
}

// BeginMove begins to move the slot of a topic to another master. Until FinishMove,
// topics are at either, and the old one says ASK for those that it does not have.
func (c *RedisCluster) BeginMove(topic string, to *RedisServer) (from *RedisServer) {
	c.t.Helper()
	from = c.Master(topic)
	slot := from.CLI("CLUSTER", "KEYSLOT", topic)
	c.ok(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[slices.Index(c.servers, from)])
	c.ok(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[slices.Index(c.servers, to)])
	return from
}

// MoveKeys moves the topics of a slot that is being moved.
func (c *RedisCluster) MoveKeys(topic string, from, to *RedisServer) {
	c.t.Helper()
	slot := from.CLI("CLUSTER", "KEYSLOT", topic)
	for {
		keys := strings.Fields(from.CLI("CLUSTER", "GETKEYSINSLOT", slot, "100"))
		if len(keys) == 0 {
			return
		}
		c.ok(from, append([]string{"MIGRATE", "127.0.0.1", fmt.Sprint(to.port), "", "0", "5000", "KEYS"}, keys...)...)
	}
}

// FinishMove ends the move of a slot.
func (c *RedisCluster) FinishMove(topic string, from, to *RedisServer) {
	c.t.Helper()
	slot := from.CLI("CLUSTER", "KEYSLOT", topic)
	id := c.ids[slices.Index(c.servers, to)]
	c.ok(to, "CLUSTER", "SETSLOT", slot, "NODE", id)
	c.ok(from, "CLUSTER", "SETSLOT", slot, "NODE", id)
}

// ok runs a command that must answer OK.
func (c *RedisCluster) ok(s *RedisServer, args ...string) {
	c.t.Helper()
	if got := s.CLI(args...); got != "OK" {
		c.t.Fatalf("broker: %v on %s: %s", args, s.Addr(), got)
	}
}

// await waits until something is true of all servers that run.
func (c *RedisCluster) await(what string, is func(*RedisServer) bool) {
	c.t.Helper()
	end := time.Now().Add(clusterTimeout)
	for _, s := range c.servers {
		for s.process.running() && !is(s) {
			if time.Now().After(end) {
				c.t.Fatalf("broker: the Redis Cluster did not get %s", what)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
