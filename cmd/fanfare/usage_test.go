package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each of these does nothing, and says what to do instead.
func TestWhatCannotHaveBeenMeantIsRefused(t *testing.T) {
	secret := "--auth.jwt.secret=" + strings.Repeat("s", 32)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a token for no system":  {[]string{"token", secret, "--user", "alice", "--systems", "OR!"}, `--systems: "OR!" matches nothing`},
		"a token for no room":    {[]string{"token", secret, "--user", "alice", "--rooms", "lobby"}, `--rooms: "lobby" matches nothing`},
		"a token for no target":  {[]string{"token", secret, "--user", "alice", "--send", "Chat/all"}, `--send: "Chat/all" matches nothing`},
		"a key with a bad name":  {[]string{"key", "--name", "a:b", "--scopes", "publish/orders"}, "a key's name is"},
		"a secret not yet there": {[]string{"config", "print", "--auth.jwt.secret_file", empty}, "auth.jwt.secret_file: " + empty + ": it is empty"},
		"a code of the protocol": {[]string{"disconnect", "alice", "--code", "4003"}, "--code: 4003: want 4009, or"},
		"a long goodbye":         {[]string{"disconnect", "alice", "--reason", strings.Repeat("é", 51)}, "--reason: want at most 100 bytes, this one has 102"},
		"a long reason":          {[]string{"block", "alice", "--reason", strings.Repeat("x", 101)}, "--reason: want at most 100 bytes"},
		"a block for two years":  {[]string{"block", "alice", "--ttl", "17520h"}, "--ttl: 17520h0m0s: want at most 366 days, which are 8784h"},
		"a bus not yet there":    {[]string{"config", "print", "--transport_file", empty}, "transport_file: " + empty + ": it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			got := fanfareRun(t, tt.args...)
			if got.code != 2 || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, tt.want) {
				t.Errorf("got %+v; want %q", got, tt.want)
			}
		})
	}
	got := fanfareRun(t, "token", secret, "--user", "a", "--systems", "*,shop-*", "--rooms", "chat/*", "--send", "chat/room:*,*/inbound")
	if got.code != 0 || strings.Count(got.out, ".") != 2 {
		t.Errorf("a good token: %+v", got)
	}
}

func TestPublishingToItsOwnMemoryIsSaidToReachNobody(t *testing.T) {
	got := fanfareRun(t, "publish", "--transport", "memory://", "--system", "orders", "--to", "*", "--data", "1")
	if !strings.Contains(got.err, "nobody hears") {
		t.Errorf("got %+v", got)
	}
}
