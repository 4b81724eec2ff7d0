package broker

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// ACLs returns the rules of each user that docs/operating.md lists in lines
// `ACL SETUSER name rules…`. So the tests try exactly what the page says.
func ACLs(t testing.TB) map[string][]string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	page, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	users := make(map[string][]string)
	for line := range strings.Lines(string(page)) {
		if words := strings.Fields(line); len(words) > 3 && words[0] == "ACL" && words[1] == "SETUSER" {
			users[words[2]] = words[3:]
		}
	}
	if len(users) == 0 {
		t.Fatal("docs/operating.md lists no users")
	}
	return users
}

// SetUser creates a user on this server with the password "secret" and the rules
// of docs/operating.md, except those in without.
func (s *RedisServer) SetUser(name string, without ...string) {
	s.t.Helper()
	rules, ok := ACLs(s.t)[name]
	if !ok {
		s.t.Fatalf("broker: docs/operating.md lists no user %s", name)
	}
	args := []any{"ACL", "SETUSER", name, "reset", ">secret"}
	for _, r := range rules {
		if !strings.HasPrefix(r, ">") && !slices.Contains(without, r) {
			args = append(args, r)
		}
	}
	s.must(s.Client().Do(s.t.Context(), args...).Err())
}

// Grants returns the rules of a user in docs/operating.md that allow commands.
func Grants(t testing.TB, name string) (commands []string) {
	t.Helper()
	for _, r := range ACLs(t)[name] {
		if strings.HasPrefix(r, "+") {
			commands = append(commands, r)
		}
	}
	return commands
}
