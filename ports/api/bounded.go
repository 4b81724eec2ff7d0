package api

import (
	"net/http"
	"time"
)

// Bounded bounds the time of every request that is not a session: a client cannot keep
// one open by not reading the answer, or by not sending the body. A session sets
// deadlines of its own when it begins. The node may be embedded in anybody's HTTP server,
// so Bounded does not rely on the server's own timeouts.
//
// A body that is read gets more time as long as it comes: see upload.
func (a *API) Bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, now := http.NewResponseController(w), time.Now()
		// An error means that the writer has no deadlines. Then it is no connection,
		// and no client can make the node wait.
		_ = control.SetWriteDeadline(now.Add(a.cfg.AnswerTime))
		if r.ContentLength != 0 {
			// The server reads a body that no handler wants, before the answer and
			// after it.
			_ = control.SetReadDeadline(now.Add(min(a.cfg.BodyStall, a.cfg.AnswerTime/2)))
		}
		next.ServeHTTP(w, r)
	})
}

// suspendAnswer takes the deadline of the answer back until there is one to write. In
// HTTP/2 a write deadline ends the stream even while nothing is written, so it would end
// the request while its body comes or the bus takes it. Both have time limits of their
// own.
func (a *API) suspendAnswer(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// startAnswer gives an answer that begins now its full time. Reading the body and
// publishing may have used up the time that Bounded gave it.
func (a *API) startAnswer(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.cfg.AnswerTime))
}
