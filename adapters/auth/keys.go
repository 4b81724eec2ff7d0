package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// Keys checks the API keys of services and operators. It knows only the SHA-256 of each.
// Keys are long and random, so a slow password hash is not needed.
type Keys struct {
	entries []keyEntry
}

type keyEntry struct {
	name   string
	scopes domain.Scopes
	sum    [sha256.Size]byte
}

// NewKeys reads entries of the form name:scopes:hash, such as
// "shop:publish/orders+presence/orders:<64 hex digits>". The scopes are joined by "+":
// publish/SYSTEM, presence/SYSTEM and members/SYSTEM, in which * is a glob, "admin", and
// "*" for everything. The hash is the key's SHA-256. Several entries may have the same
// name, so that keys can be rotated. The error joins the faults of all entries.
func NewKeys(entries ...string) (*Keys, error) {
	k := &Keys{}
	var faults []error
	for i, text := range entries {
		e, err := parseEntry(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		if first := k.find(e.sum); first >= 0 && !slices.Equal(k.entries[first].scopes, e.scopes) {
			faults = append(faults,
				fmt.Errorf("entry %d: it is the key of an entry before it, with other scopes: keep one",
					i+1))
			continue
		}
		k.entries = append(k.entries, e)
	}
	return k, errors.Join(faults...)
}

// find returns the index of the entry with a key's hash, or -1.
func (k *Keys) find(sum [sha256.Size]byte) int {
	return slices.IndexFunc(k.entries, func(e keyEntry) bool { return e.sum == sum })
}

// Authorize returns the scopes of the key. It compares the key with every entry
// in constant time, so that its duration tells nothing about which one matches.
func (k *Keys) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	sum := sha256.Sum256([]byte(key))
	var scopes domain.Scopes
	for i := range k.entries {
		if subtle.ConstantTimeCompare(sum[:], k.entries[i].sum[:]) == 1 {
			scopes = k.entries[i].scopes
		}
	}
	if key == "" {
		return nil, distrust(ReasonNone, "no API key")
	}
	if scopes == nil {
		return nil, conceal(ReasonUnknown, "", "unknown API key")
	}
	return scopes, nil
}

// NameOf returns the name of the key's first entry, "" if it has none. Like Authorize it
// compares the key with every entry.
func (k *Keys) NameOf(key string) (name string) {
	sum := sha256.Sum256([]byte(key))
	for i := range k.entries {
		if e := &k.entries[i]; subtle.ConstantTimeCompare(sum[:], e.sum[:]) == 1 && name == "" {
			name = e.name
		}
	}
	return name
}

// NewKey makes a key with 256 random bits, and the entry for [NewKeys] that makes
// it valid. The key is not stored anywhere.
func NewKey(name string, scopes domain.Scopes) (key, entry string, err error) {
	if !keyName.MatchString(name) {
		return "", "", errName
	}
	var random [32]byte
	rand.Read(random[:]) // never fails
	key = "fanfare_" + base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(key))
	entry = name + ":" + strings.Join(scopes, "+") + ":" + hex.EncodeToString(sum[:])
	_, err = parseEntry(entry)
	return key, entry, err
}

var (
	keyName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	keyScope = regexp.MustCompile(`^(\*|admin|(publish|presence|members)/[a-z0-9_*-]{1,64})$`)
)

var errName = errors.New("a key's name is 1 to 64 letters, digits, dots, dashes and underscores," +
	" and begins with a letter or a digit")

// parseEntry reads an entry. Its errors quote nothing but the name and never the
// third part, which may be a key that somebody put in place of its hash.
func parseEntry(text string) (keyEntry, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return keyEntry{}, errors.New("want name:scopes:sha256-hex; `fanfare key` prints one")
	}
	if !keyName.MatchString(parts[0]) {
		return keyEntry{}, errName
	}
	e := keyEntry{name: parts[0], scopes: strings.Split(parts[1], "+")}
	for _, s := range e.scopes {
		if !keyScope.MatchString(s) {
			return keyEntry{},
				fmt.Errorf("%s: scopes are *, admin, publish/SYSTEM, presence/SYSTEM and members/SYSTEM, "+
					"joined by +, as in publish/orders+presence/orders", parts[0])
		}
	}
	sum, err := hex.DecodeString(parts[2])
	if err != nil || len(sum) != sha256.Size {
		return keyEntry{},
			fmt.Errorf("%s: the third part must be the key's SHA-256 in 64 hex digits, not the key itself",
				parts[0])
	}
	e.sum = [sha256.Size]byte(sum)
	return e, nil
}
