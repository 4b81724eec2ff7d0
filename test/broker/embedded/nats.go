// Package embedded runs brokers inside the test's own process. That is quick, but
// these brokers cannot be killed or frozen. Package broker has brokers that can.
package embedded

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds how long a server may take to listen.
const startTimeout = 15 * time.Second

// Goroutines names the functions in which a NATS server's goroutines run, for
// checks for goroutines that are left behind.
var Goroutines = func() (all []string) {
	const server = "github.com/nats-io/nats-server/v2/server"
	for _, name := range []string{
		"(*client).readLoop", "(*client).writeLoop",
		"(*stream).internalLoop", "(*stream).signalConsumersLoop",
		"(*fileStore).flushLoop", "(*fileStore).flushStreamStateLoop", "(*consumerFileStore).flushLoop",
		"(*consumer).loopAndGatherMsgs", "(*consumer).processInboundAcks", "(*consumer).processInboundNextMsgReqs",
	} {
		all = append(all, server+"."+name)
	}
	return append(all, server+"/ats.Register.func1")
}()

// NATS starts a NATS server with JetStream on a free port of 127.0.0.1, and returns
// its host:port. The server is stopped when the test ends.
func NATS(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatalf("embedded: NATS: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(startTimeout) {
		t.Fatal("embedded: NATS: not ready in time")
	}
	return s.Addr().String()
}
