package socketio_test

import (
	"bufio"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

const want = `before the move
  Socket.IO: lobby: hi, lobby
  Socket.IO: news: hi, all
  Socket.IO: order 7 is paid
while pages move
  Fanfare: lobby: hi, lobby
  Fanfare: news: hi, all
  Fanfare: order 7 is paid
  Socket.IO: lobby: hi, lobby
  Socket.IO: news: hi, all
  Socket.IO: order 7 is paid
after the move
  Fanfare: lobby: hi, lobby
  Fanfare: news: hi, all
  Fanfare: order 7 is paid
`

func TestEachStepOfTheMove(t *testing.T) {
	redis := broker.Redis(t)
	if _, err := os.Stat("node_modules"); err != nil {
		if os.Getenv("TOOLS") == "no" {
			t.Skip("left out by TOOLS=no: examples/socketio has no packages from npm")
		}
		t.Fatal("the packages from npm are missing: 'make tools' fetches them")
	}
	env := append(startFanfare(t, redis),
		"REDIS_URL=redis://"+redis.Addr(),
		"SOCKETIO_URL=http://127.0.0.1:"+startSocketIO(t, redis))
	steps := exec.CommandContext(t.Context(), "node", bundled(t))
	steps.Env = append(os.Environ(), env...)
	steps.Stderr = t.Output()
	got, err := steps.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// startSocketIO starts the server from before the move and returns its port.
func startSocketIO(t *testing.T, redis *broker.RedisServer) (port string) {
	server := exec.CommandContext(t.Context(), "node", "server.mjs")
	server.Env = append(os.Environ(), "REDIS_URL=redis://"+redis.Addr())
	server.Stderr = t.Output()
	input, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = input.Close(); _ = server.Wait() })
	port, err = bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(port)
}

// startFanfare starts a node and returns the variables that say how to use it.
func startFanfare(t *testing.T, redis *broker.RedisServer) (env []string) {
	const secret = "a secret of the test, long enough for HMAC"
	key, entry, err := auth.NewKey("shop", domain.Scopes{"publish/shop"}, auth.KeyLimits{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := fanfare.New(t.Context(), fanfare.Config{
		Transport: redis.URL("redis"),
		Systems:   []string{"shop"},
		Auth: fanfare.AuthConfig{
			JWT:     fanfare.JWTConfig{Secret: secret},
			APIKeys: []fanfare.Secret{fanfare.Secret(entry)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	jwt, err := auth.NewJWT(auth.JWTConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Mint(domain.Grant{
		User: "alice", Systems: []string{"shop"}, Rooms: []string{"shop/lobby"},
		Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return []string{"FANFARE_URL=" + server.URL, "FANFARE_KEY=" + key, "FANFARE_TOKEN=" + token}
}

// bundled makes one program of steps.mjs and of the client in clients/js, as the tools of a
// web application do, and returns its path.
func bundled(t *testing.T) string {
	clients, err := filepath.Abs("../../clients/js")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "steps.mjs")
	bundle := exec.CommandContext(t.Context(), filepath.Join(clients, "node_modules/.bin/esbuild"), "steps.mjs",
		"--bundle", "--platform=node", "--format=esm", "--log-level=warning",
		"--alias:@fanfare/client="+filepath.Join(clients, "src/index.ts"), "--outfile="+program,
		// Some packages call require, which modules do not have.
		"--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);")
	if out, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
