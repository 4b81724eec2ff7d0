package session_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

type anyone struct{}

func (anyone) Authenticate(context.Context, string) (domain.Grant, error) {
	return domain.Grant{User: "alice", Systems: []string{"*"}}, nil
}

// panicking is an error that makes failing panic.
type panicking struct{}

func (panicking) Error() string { return "panicking" }

// failing is an Authenticator that returns its error, or accepts every token.
type failing struct{ err error }

func (f failing) Authenticate(ctx context.Context, token string) (domain.Grant, error) {
	if p, ok := f.err.(panicking); ok {
		panic(p)
	}
	if f.err != nil {
		return domain.Grant{}, f.err
	}
	return anyone{}.Authenticate(ctx, token)
}

// until accepts every token, as one that expires at a time.
type until struct{ t time.Time }

func (u until) Authenticate(context.Context, string) (domain.Grant, error) {
	return domain.Grant{User: "alice", Systems: []string{"*"}, Expires: u.t}, nil
}

// slow accepts the token "good". Each check takes a while.
type slow struct {
	takes              time.Duration
	now, most, checked atomic.Int64
}

func (s *slow) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	s.checked.Add(1)
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(s.takes)
	if token != "good" {
		return domain.Grant{}, domain.ErrUnauthenticated
	}
	return domain.Grant{User: "alice", Systems: []string{"*"}}, nil
}

// nobody is a bus on which nothing is published.
type nobody struct{}

func (nobody) Open(s *stream.Stream) error {
	s.Step(&domain.Entry{Kind: domain.Start}, nil)
	return nil
}
func (nobody) Close(*stream.Stream) {}

// conn is a client that takes everything.
type conn struct{ closed atomic.Int64 }

func (c *conn) Offer(*session.Attachment, stream.Frame) bool                    { return true }
func (c *conn) OfferNoted(*session.Attachment, stream.Frame, *stream.Note) bool { return true }
func (c *conn) Offered() uint64                                                 { return 0 }
func (c *conn) SendCursor(*session.Attachment, domain.Cursor, uint64) bool      { return true }
func (c *conn) Port() string                                                    { return "ws" }
func (c *conn) Pending() (frames, bytes int)                                    { return 2, 30 }
func (c *conn) Notify([]byte)                                                   {}
func (c *conn) NotifyIfRoom([]byte) bool                                        { return true }
func (c *conn) Disconnect(code int, reason string, _ bool)                      { c.Close(code, reason) }
func (c *conn) GoAway(_, _ time.Duration)                                       {}
func (c *conn) Close(code int, _ string)                                        { c.closed.CompareAndSwap(0, int64(code)) }
func (c *conn) Unwritten(func([]byte) bool)                                     {}
func (c *conn) Abort()                                                          {}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
