package api

import (
	"net/http"
	"time"
)

// Bounded sees to it that nobody can keep a request open that is no session:
// not by not reading the answer, nor by not sending the body. A session sets
// deadlines of its own when it begins. The server may be anybody's: what it
// says about time holds up to here.
//
// [API.body] gives a body that is read more time, as long as it comes.
func (a *API) Bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, now := http.NewResponseController(w), time.Now()
		// A writer that has no deadlines is no connection: there is nobody to
		// wait for.
		_ = control.SetWriteDeadline(now.Add(a.cfg.AnswerTime))
		if r.ContentLength != 0 {
			// A body that no handler wants is read by the server, before it
			// answers and after.
			_ = control.SetReadDeadline(now.Add(min(a.cfg.BodyStall, a.cfg.AnswerTime/2)))
		}
		next.ServeHTTP(w, r)
	})
}

// working takes an answer's time back until there is one, where it would end the
// request while its body comes and the bus takes it: in HTTP/2 a deadline is the
// stream's and not a write's. A body and the bus have times of their own.
func (a *API) working(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

// answering gives an answer that begins now its time: reading the body and
// publishing may have taken what it had.
func (a *API) answering(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.cfg.AnswerTime))
}
