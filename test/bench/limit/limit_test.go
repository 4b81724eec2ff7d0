package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func dial(t *testing.T, h http.HandlerFunc, users ...string) (all []*websocket.Conn) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for _, user := range users {
		conn, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws?user="+user, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	return all
}

func TestLinesReachTheirClients(t *testing.T) {
	for _, join := range []int{1, 16} {
		s := &server{join: join, users: map[string]net.Conn{}}
		clients := dial(t, s.upgrade, "alice", "bob")
		for { // the last client is known a moment after its handshake
			s.mu.RLock()
			n := len(s.all)
			s.mu.RUnlock()
			if n == len(clients) {
				break
			}
		}
		in, out := net.Pipe()
		go s.follow(in)
		large := strings.Repeat("x", 300)
		fmt.Fprintf(out, "* 1\n* 2\nuser:bob %s\n* 3\nuser:carol 4\n* 5\n", large)
		out.Close()
		for i, want := range [][]string{{"1", "2", "3", "5"}, {"1", "2", large, "3", "5"}} {
			for _, text := range want {
				_ = clients[i].SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, got, err := clients[i].ReadMessage(); err != nil || string(got) != text {
					t.Fatalf("join %d, client %d: %q, %v; want %q", join, i, got, err, text)
				}
			}
		}
	}
}

func TestMelodyKeepsConnections(t *testing.T) {
	for _, conn := range dial(t, withMelody(), "alice") {
		pong := make(chan struct{})
		conn.SetPongHandler(func(string) error { close(pong); return nil })
		if err := conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _, _ = conn.ReadMessage() }() // handles the pong
		select {
		case <-pong:
		case <-time.After(10 * time.Second):
			t.Error("nobody answers a ping")
		}
	}
}
