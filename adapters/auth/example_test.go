package auth_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// A service that knows its users mints their tokens with the secret that the
// nodes have, too.
func ExampleJWT_Mint() {
	j, err := auth.NewJWT(auth.JWTConfig{Secret: "at least thirty-two bytes, kept in a file"})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := j.Mint(domain.Grant{
		User:    "alice",
		Systems: []string{"orders", "chat"},
		Rooms:   []string{"chat/*"},
		Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	grant, err := j.Authenticate(context.Background(), token)
	fmt.Println(grant.User, grant.Systems, grant.Rooms, err)
	// Output: alice [orders chat] [chat/*] <nil>
}

// The key goes to the publisher, the entry into the settings of every node.
func ExampleNewKey() {
	key, entry, err := auth.NewKey("shop", domain.Scopes{"publish/orders"}, auth.KeyLimits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := auth.NewKeys(entry)
	if err != nil {
		fmt.Println(err)
		return
	}
	scopes, err := keys.Authorize(context.Background(), key)
	fmt.Println(scopes, err)
	_, err = keys.Authorize(context.Background(), "another key")
	fmt.Println(err)
	// Output:
	// [publish/orders] <nil>
	// unknown API key: unauthenticated
}
