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
	"strings"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Keys checks the API keys of services and operators. It knows only the SHA-256 of each.
// Keys are long and random, so a slow password hash is not needed. The zero value knows no
// key.
type Keys struct {
	all atomic.Pointer[keyring] // nil: none
}

// A keyring is what Keys knows at one time. Nothing in it changes but what the entries'
// meters have counted.
type keyring struct {
	entries []keyEntry
	metered bool // some entry has a rate
}

// NewKeys reads entries of the form name:scopes:hash, such as
// "shop:publish/orders+presence/orders:<64 hex digits>". The scopes are joined by "+":
// publish/SYSTEM, presence/SYSTEM and members/SYSTEM, in which * is a glob, "admin", and
// "*" for everything. The hash is the key's SHA-256. Behind it there may be
// ":expires=2027-01-01T00:00:00Z", from when on the key is refused, and ":rate=100/s", how
// many messages may be published with it ([KeyLimits]). Several entries may have the same
// name, so that keys can be rotated. The error joins the faults of all entries.
func NewKeys(entries ...string) (*Keys, error) {
	r := &keyring{}
	var faults []error
	for i, text := range entries {
		e, err := parseEntry(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		if first := r.find(e.sum); first != nil && !first.same(e) {
			faults = append(faults, fmt.Errorf("entry %d: it is the key of an entry before it, "+
				"with other scopes or limits: keep one", i+1))
			continue
		}
		r.entries = append(r.entries, e)
		r.metered = r.metered || e.meter != nil
	}
	k := &Keys{}
	k.all.Store(r)
	return k, errors.Join(faults...)
}

// Replace forgets all keys but those of by, which may not be used any more. What a key has
// published counts on, if its rate stays the same.
func (k *Keys) Replace(by *Keys) {
	next := by.ring()
	for i := range next.entries {
		e := &next.entries[i]
		if old := k.ring().find(e.sum); old != nil && old.Rate == e.Rate {
			e.meter = old.meter
		}
	}
	k.all.Store(next)
}

func (k *Keys) ring() *keyring {
	if r := k.all.Load(); r != nil {
		return r
	}
	return &keyring{}
}

// find returns the first entry with a key's hash, nil if there is none. It compares the hash
// with every entry in constant time, so that its duration tells nothing about which one
// matches.
func (r *keyring) find(sum [sha256.Size]byte) (found *keyEntry) {
	for i := range r.entries {
		if e := &r.entries[i]; subtle.ConstantTimeCompare(sum[:], e.sum[:]) == 1 && found == nil {
			found = e
		}
	}
	return found
}

// Authorize returns the scopes of the key.
func (k *Keys) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	e := k.ring().find(sha256.Sum256([]byte(key)))
	switch {
	case key == "":
		return nil, distrust(ReasonNone, "no API key")
	case e == nil:
		return nil, conceal(ReasonUnknown, "", "unknown API key")
	case !e.Expires.IsZero() && !time.Now().Before(e.Expires):
		return nil, &domain.CredentialError{
			Reason: ReasonExpired, Told: "this API key has expired",
			Detail: fmt.Sprintf("the API key %s expired at %s", e.name, e.Expires.Format(time.RFC3339)),
		}
	}
	return e.scopes, nil
}

// Take counts n messages that are published with a key. If that is more than the key's rate
// allows now, it counts nothing, and returns after how long it could be: n of 0 asks whether
// one message could be published. As many as the rate names may come at once. A batch of more
// than that is counted when nothing counts any more, and what comes after it waits longer.
func (k *Keys) Take(key string, n int) (wait time.Duration) {
	r := k.ring()
	if !r.metered {
		return 0
	}
	e := r.find(sha256.Sum256([]byte(key)))
	if e == nil || e.meter == nil {
		return 0
	}
	return e.meter.take(n, time.Now())
}

// NameOf returns the name of the key's first entry, "" if it has none.
func (k *Keys) NameOf(key string) string {
	if e := k.ring().find(sha256.Sum256([]byte(key))); e != nil {
		return e.name
	}
	return ""
}

// NewKey makes a key with 256 random bits, and the entry for [NewKeys] that makes
// it valid. The key is not stored anywhere.
func NewKey(
	name string, scopes domain.Scopes, limits KeyLimits,
) (key, entry string, err error) {
	if !keyName.MatchString(name) {
		return "", "", errName
	}
	var random [32]byte
	rand.Read(random[:]) // never fails
	key = "fanfare_" + base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(key))
	entry = name + ":" + strings.Join(scopes, "+") + ":" + hex.EncodeToString(sum[:]) +
		limits.String()
	_, err = parseEntry(entry)
	return key, entry, err
}
