package ws

// Shards returns how many shards the server has.
func (s *Server) Shards() int { return len(s.shards) }

// FollowFrames follows pieces of a client's bytes. It returns the close code with which
// they are answered, 0 for none, and how many frames came before.
func FollowFrames(pieces ...[]byte) (code, count int) {
	f := frames{allow: func(bool) bool { count++; return true }}
	for _, p := range pieces {
		if b := f.follow(p); b != nil {
			return b.code, count
		}
	}
	return 0, count
}
