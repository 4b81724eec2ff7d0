package domain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

func TestAGrantThatSeemsToGrantMoreThanItDoesIsNamed(t *testing.T) {
	good := domain.Grant{User: "alice", Systems: []string{"orders", "shop-*", "*", "0_-"}, Rooms: []string{"chat/*", "*/a/b"},
		Send: []string{"chat/room:*", "chat/all", "*/inbound"}, Presence: []string{"chat/", "chat/*"}}
	if err := good.Check(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if err := (&domain.Grant{User: "alice"}).Check(); err != nil {
		t.Errorf("one that grants nothing: %v", err)
	}
	for want, g := range map[string]domain.Grant{
		"user":            {},
		"user: ":          {User: "a\x00"},
		`systems: "OR!"`:  {User: "alice", Systems: []string{"orders", "OR!"}},
		`systems: "a/b"`:  {User: "alice", Systems: []string{"a/b"}},
		`systems: ""`:     {User: "alice", Systems: []string{""}},
		`systems: "_a"`:   {User: "alice", Systems: []string{"_a"}},
		`rooms: "lobby"`:  {User: "alice", Rooms: []string{"lobby"}},
		`rooms: "chat/"`:  {User: "alice", Rooms: []string{"chat/"}},
		`send: "C/all"`:   {User: "alice", Send: []string{"C/all"}},
		`presence: "chat`: {User: "alice", Presence: []string{"chat"}},
		`presence: "/a"`:  {User: "alice", Presence: []string{"/a"}},
	} {
		err := g.Check()
		if !errors.Is(err, domain.ErrInvalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", g, err, want)
		}
	}
}
