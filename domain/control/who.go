package control

import "time"

// presence is who is where: the rows of all sources, and what follows from them.
type presence struct{ cfg *Config }

func newPresence(cfg *Config) *presence { return &presence{cfg: cfg} }

// add changes an own row. It does nothing for a system without presence.
func (p *presence) add(now Now, at Place, user string, delta int, c cause) {}

// set sets another node's row. False: it was refused, because a bound is reached or a
// name is too long.
func (p *presence) set(now Now, src source, r row, c cause) bool { return true }

// drop forgets a source, with its rows and what was staged for it.
func (p *presence) drop(now Now, src source, c cause) {}

// digest is about a source's rows. Of the own rows (source 0) it covers what takeDirty
// has returned, and not what is still dirty: a message with rows carries the digest that
// is taken after its rows.
func (p *presence) digest(src source) (n int, sum uint64) { return 0, 0 }

func (p *presence) dirty() bool { return false }

// takeDirty returns own rows that have to be said, at most size bytes of JSON (brackets
// and commas counted).
func (p *presence) takeDirty(size int) []row { return nil }

// markDirty makes that rows of takeDirty are said again.
func (p *presence) markDirty(rows []row) {}

func (p *presence) beginSnapshot(src source) {}

// stage: false if a bound is reached.
func (p *presence) stage(src source, r row) bool { return true }

// endSnapshot: n and sum are the digest in the message with the last part. False: the
// staged rows were thrown away, and the former ones stay.
func (p *presence) endSnapshot(now Now, src source, n int, sum uint64, c cause) bool { return true }

func (p *presence) startOwn() {}

// nextOwn returns the next part of what takeDirty has said so far (not what is still
// dirty: that follows as a delta), at most size bytes.
func (p *presence) nextOwn(size int) (rows []row, last bool) { return nil, true }

func (p *presence) tick(now Now) {}

// who leaves Complete to its caller.
func (p *presence) who(at Place, after string, limit int) Page { return Page{} }

func (p *presence) find(at Place, users []string) []Present { return nil }

func (p *presence) watch(at Place)    {}
func (p *presence) unwatch(at Place)  {}
func (p *presence) changes() []Change { return nil }

// counts returns the rows of all sources, and the users present in all places together.
func (p *presence) counts() (rows, users int) { return 0, 0 }

// speak makes this node the speaker, of everything in the journal since a moment of
// Now.Mono. It does nothing while the node speaks.
func (p *presence) speak(now Now, since time.Duration) {}
func (p *presence) mute()                              {}

func (p *presence) events(limit int) []Event { return nil }
func (p *presence) spoken(n int)             {}

// unspoken returns the age of the oldest event that this node has to publish; 0: none.
func (p *presence) unspoken(now Now) time.Duration { return 0 }
