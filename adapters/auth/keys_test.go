package auth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

func TestNewKeyIsAuthorizedByItsEntryAndNoOther(t *testing.T) {
	shop, shopEntry, err := auth.NewKey("shop", domain.Scopes{"publish/orders", "publish/chat-*"}, auth.KeyLimits{})
	if err != nil {
		t.Fatal(err)
	}
	ops, opsEntry, err := auth.NewKey("ops", domain.Scopes{"*"}, auth.KeyLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(shopEntry, shop) {
		t.Error("the entry holds the key itself")
	}
	k, err := auth.NewKeys(shopEntry, opsEntry)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]domain.Scopes{shop: {"publish/orders", "publish/chat-*"}, ops: {"*"}} {
		if got, err := k.Authorize(t.Context(), key); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if got := []string{k.NameOf(shop), k.NameOf(ops), k.NameOf("x"), k.NameOf("")}; !slices.Equal(got, []string{"shop", "ops", "", ""}) {
		t.Errorf("the keys' names are %q", got)
	}
	for _, bad := range []string{"", "x", shop + "x", shop[:len(shop)-1], shopEntry} {
		if s, err := k.Authorize(t.Context(), bad); !errors.Is(err, domain.ErrUnauthenticated) || s != nil {
			t.Errorf("%q: got %v, %v; want ErrUnauthenticated", bad, s, err)
		}
	}
}

func TestNoKeysAuthorizeNobody(t *testing.T) {
	k, err := auth.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authorize(t.Context(), ""); !errors.Is(err, domain.ErrUnauthenticated) {
		t.Errorf("got %v; want ErrUnauthenticated", err)
	}
}

func TestBadKeyEntriesAreAllNamedAndNotQuoted(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	plain := "fanfare_plain-key-in-the-wrong-place"
	bad := []string{plain, "shop:*:" + plain, "shop:publish:" + sum, "shop:write/orders:" + sum, "shop::" + sum, plain + "!:*:" + sum, "shop:*:" + sum + "00"}
	_, err := auth.NewKeys(append(bad, "good:*:"+sum)...)
	if err == nil {
		t.Fatal("accepted")
	}
	if got := strings.Count(err.Error(), "entry "); got != len(bad) {
		t.Errorf("%d faults named; want %d:\n%v", got, len(bad), err)
	}
	if strings.Contains(err.Error(), plain) {
		t.Errorf("the error quotes a key: %v", err)
	}
}

func TestScopesOfTheControlPlane(t *testing.T) {
	for scope, want := range map[string]bool{
		"admin": true, "presence/chat": true, "members/shop-*": true, "presence/*": true,
		"admin/chat": false, "admins": false, "presence": false, "members/": false, "presence/Chat": false, "members/a/b": false,
	} {
		if _, _, err := auth.NewKey("ops", domain.Scopes{scope, "publish/chat"}, auth.KeyLimits{}); (err == nil) != want {
			t.Errorf("%q: %v", scope, err)
		}
	}
}

// Two entries with different scopes for one key are ambiguous, and so refused.
func TestOneKeyWithTwoMeaningsIsRefused(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for _, entries := range [][]string{
		{"shop:publish/orders:" + sum, "ops:*:" + sum},
		{"shop:publish/orders:" + sum, "shop:publish/chat:" + strings.ToUpper(sum)},
	} {
		if _, err := auth.NewKeys(entries...); err == nil || !strings.Contains(err.Error(), "entry 2") {
			t.Errorf("%q: %v", entries, err)
		}
	}
	if _, err := auth.NewKeys("shop:*:"+sum, "old-shop:*:"+sum); err != nil {
		t.Errorf("the same twice: %v", err)
	}
}

func TestDevTrustsEverybodyWithAName(t *testing.T) {
	orders, _ := domain.ParseSystem("orders")
	g, err := auth.Dev{}.Authenticate(t.Context(), "alice")
	if err != nil || g.User != "alice" || !g.MayAttach(orders) || !g.MayJoin(orders, "a/b") {
		t.Errorf("got %+v, %v", g, err)
	}
	bob, _ := domain.UserTarget("bob")
	if !g.MaySend(orders, bob) {
		t.Error("may not send to a user")
	}
	if age := time.Since(g.Issued); age < 0 || age > time.Minute {
		t.Errorf("issued at %v: whoever is revoked could never come back", g.Issued)
	}
	if _, err := (auth.Dev{}).Authenticate(t.Context(), ""); !errors.Is(err, domain.ErrUnauthenticated) {
		t.Errorf("nobody: got %v; want ErrUnauthenticated", err)
	}
}

func FuzzNewKeys(f *testing.F) {
	f.Add("shop:publish/orders+publish/chat:" + strings.Repeat("0a", 32))
	f.Add("ops:*:" + strings.Repeat("FF", 32))
	f.Add(":::")
	f.Fuzz(func(t *testing.T, entry string) {
		k, err := auth.NewKeys(entry)
		if err != nil {
			return
		}
		// The entry holds the hash, so it is never its own key.
		if s, err := k.Authorize(context.Background(), entry); err == nil {
			t.Fatalf("%q authorizes itself for %v", entry, s)
		}
	})
}

func BenchmarkAuthorize(b *testing.B) {
	key, entry, _ := auth.NewKey("shop", domain.Scopes{"publish/orders"}, auth.KeyLimits{})
	k, err := auth.NewKeys(entry)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Authorize(context.Background(), key); err != nil {
			b.Fatal(err)
		}
	}
}
