package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
)

// verified holds the claims of tokens whose signatures were found to be good, so that
// a client that comes back with the same token costs no public-key cryptography. It
// knows nothing about time, issuers and audiences: claims.check judges these each time.
// Tokens of a key that was removed are forgotten when they are looked for.
// It is safe for concurrent use.
//
// A token is found by its HMAC-SHA256 under a key that only this process has. So
// nobody can make a token that is taken for another one, and the memory holds no
// tokens.
//
// Tokens are held in two generations. New ones go into the young one. When that has
// half of the bytes, it becomes the old one, and the old one is forgotten. A token that
// is found in the old one goes into the young one again, so those that come back stay.
type verified struct {
	limit int       // bytes of both generations
	macs  sync.Pool // of hash.Hash

	mu         sync.Mutex
	young, old map[tokenID]*claims // guarded by mu
	size       int                 // bytes of young; guarded by mu
}

// A tokenID is what a token is found by.
type tokenID [sha256.Size]byte

// newVerified returns a verified that takes about limit bytes at most.
func newVerified(limit int) *verified {
	secret := make([]byte, sha256.BlockSize)
	_, _ = rand.Read(secret) // never fails
	v := &verified{limit: limit, young: make(map[tokenID]*claims)}
	v.macs.New = func() any { return hmac.New(sha256.New, secret) }
	return v
}

// id returns what the token is found by.
func (v *verified) id(token []byte) (id tokenID) {
	mac := v.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(token)
	mac.Sum(id[:0])
	v.macs.Put(mac)
	return id
}

// find returns the claims of a token, nil if they are not held.
func (v *verified) find(id tokenID) *claims {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.young[id]
	if c == nil {
		c = v.old[id]
	}
	switch {
	case c == nil:
		return nil
	case c.key.removed.Load():
		delete(v.young, id)
		delete(v.old, id)
		return nil
	case v.old[id] != nil:
		delete(v.old, id)
		v.put(id, c)
	}
	return c
}

// add holds the claims of a token whose signature is good. They must not change any
// more.
func (v *verified) add(id tokenID, c *claims) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.young[id] == nil { // two sessions may have verified one token at a time
		v.put(id, c)
	}
}

// put puts a token into the young generation. The caller holds mu.
func (v *verified) put(id tokenID, c *claims) {
	size := c.size()
	if size > v.limit/2 {
		return
	}
	if v.size+size > v.limit/2 {
		v.old, v.young, v.size = v.young, make(map[tokenID]*claims), 0
	}
	v.young[id] = c
	v.size += size
}

// drop forgets a token, which has expired. Its bytes count until the generation ends.
func (v *verified) drop(id tokenID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.young, id)
	delete(v.old, id)
}
