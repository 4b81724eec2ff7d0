package redisconn_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// What servers reply, of Redis 6.2, 7.0 and 8 and Valkey 8, is explained.
func TestARefusalSaysWhatToDo(t *testing.T) {
	for _, c := range []struct{ user, answer, want string }{
		{"node", "NOPERM this user has no permissions to run the 'xadd' command", "ACL SETUSER node +xadd"},
		{"node", "NOPERM this user has no permissions to run the 'xadd' command or its subcommand", "ACL SETUSER node +xadd"},
		{"", "NOPERM User default has no permissions to run the 'xinfo|stream' command", "ACL SETUSER default +xinfo|stream"},
		{"node", "EXECABORT Transaction discarded because of: NOPERM User node has no permissions to run the 'exec' command", "ACL SETUSER node +exec"},
		{"node", "NOPERM this user has no permissions to access one of the keys used as arguments", "ACL SETUSER node ~fanfare.orders"},
		{"node", "NOPERM No permissions to access a key", "ACL SETUSER node ~fanfare.orders"},
		{"node", "NOPERM No permissions to access a channel", "ACL SETUSER node &fanfare.orders"},
		{"", "ERR unknown command 'XTRIM', with args beginning with: 'a' 'b' ", "has XTRIM disabled or renamed"},
		{"", "ERR unknown command `xread`, with args beginning with: ", "has XREAD disabled or renamed"},
		{"", "ERR unknown subcommand 'STREAM'. Try XINFO HELP.", "has XINFO STREAM disabled or renamed"},
		{"", "ERR Unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP.", "has XINFO STREAM disabled or renamed"},
		{"", "ERR unknown command", "has THE COMMAND disabled"},
		{"", "NOAUTH Authentication required.", "the URL needs a login"},
	} {
		s, err := parse("redis://" + login(c.user) + "h")
		if err != nil {
			t.Fatal(err)
		}
		reply := fmt.Errorf("log in: %w", redisconn.Error(c.answer))
		err = s.Explain("fanfare.orders", reply)
		if !strings.HasPrefix(err.Error(), reply.Error()+" (") || !strings.Contains(err.Error(), c.want) || !errors.Is(err, reply) {
			t.Errorf("%s: %v", c.answer, err)
		}
		if again := s.Explain("other", err); again != err {
			t.Errorf("twice: %v", again)
		}
		got := redisconn.Classify(err)
		if refused := !strings.HasPrefix(c.answer, "NOAUTH"); errors.Is(got, domain.ErrBusRefused) != refused ||
			!errors.Is(got, domain.ErrBusDown) || strings.Contains(got.Error(), "is down") == refused {
			t.Errorf("%s became %v", c.answer, got)
		}
	}
	s, err := parse("redis://h")
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []error{nil, errors.New("NOPERM"), redisconn.Error("LOADING"), redisconn.Error("ERR syntax error")} {
		if got := s.Explain("t", plain); got != plain {
			t.Errorf("%v became %v", plain, got)
		}
	}
}

func login(user string) string {
	if user == "" {
		return ""
	}
	return user + ":secret@"
}

// A login that the server or a sentinel does not allow is explained, too.
func TestARefusedLoginSaysWhatToDo(t *testing.T) {
	master := broker.Redis(t)
	master.SetUser("publisher")
	err := works(t, "redis://publisher:secret@"+master.Addr()+"/3")
	if err == nil || !strings.Contains(err.Error(), "ACL SETUSER publisher +select") {
		t.Errorf("a database without the right to select it: %v", err)
	}
	sentinel := broker.Sentinel(t, "main", master, "user asker on >secret +ping")
	err = publishes(t, "redis://"+sentinel.Addr()+"?sentinel_master=main&sentinel_user=asker&sentinel_password=secret")
	if err == nil || !strings.Contains(err.Error(), "ACL SETUSER asker +sentinel|get-master-addr-by-name") {
		t.Errorf("a sentinel's user without rights: %v", err)
	}
}
