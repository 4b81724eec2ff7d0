package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// smallBody is how many bytes are allocated for a body of which nothing has come yet.
const smallBody = 4 << 10

// body reads the body of a publish request.
func (a *API) body(w http.ResponseWriter, r *http.Request, c *claim) ([]byte, *Problem) {
	body, p := a.bodyUpTo(a.cfg.BodyBytes, w, r, c)
	if p != nil && p.Status == http.StatusRequestEntityTooLarge {
		p.Detail += ": publish in several requests"
	}
	return body, p
}

// bodyUpTo reads a body of at most limit bytes. Its memory grows with what comes, whatever
// the request announces, and is on the claim before it is allocated.
func (a *API) bodyUpTo(
	limit int64, w http.ResponseWriter, r *http.Request, c *claim,
) ([]byte, *Problem) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	most := r.ContentLength
	if most < 0 {
		most = limit + 1 // one more, to notice that there is more
	}
	u := upload{
		from: r.Body, control: http.NewResponseController(w),
		by: time.Now().Add(a.cfg.BodyTime), stall: a.cfg.BodyStall,
	}
	body, p := u.read(most, c)
	switch {
	case p != nil:
		return nil, p
	case int64(len(body)) > limit:
		return nil, tooLarge(limit)
	case int64(len(body)) < r.ContentLength:
		return nil, problem(http.StatusBadRequest, "the body ended early").because("short_body")
	}
	return body, nil
}

func tooLarge(limit int64) *Problem {
	return problem(http.StatusRequestEntityTooLarge,
		fmt.Sprintf("the body has more than %d bytes", limit))
}

// An upload is a body that is being read.
type upload struct {
	from    io.Reader
	control *http.ResponseController
	by      time.Time     // when all of it must have come
	stall   time.Duration // the longest time in which nothing may come
}

// read reads until the body ends, but no more than most bytes.
func (u *upload) read(most int64, c *claim) ([]byte, *Problem) {
	var body []byte
	for int64(len(body)) < most {
		if len(body) == cap(body) {
			grown, p := grow(body, most, c)
			if p != nil {
				return nil, p
			}
			body = grown
		}
		n, err := u.next(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, problem(http.StatusRequestTimeout, "the body did not come in time")
		case err != nil:
			return nil, problem(http.StatusBadRequest, "the body ended early").because("short_body")
		}
	}
	return body, nil
}

// next reads what comes next, for which it sets a deadline. When the body has ended, the
// server starts to watch the connection, and takes the deadline back.
func (u *upload) next(into []byte) (int, error) {
	by := time.Now().Add(u.stall)
	if by.After(u.by) {
		by = u.by
	}
	_ = u.control.SetReadDeadline(by) // see Bounded for what an error means
	return u.from.Read(into)
}

// grow returns the body in a larger buffer: of four times the size once, since most
// bodies that are not small fit then, and of twice the size after that. The old buffer is left to the
// garbage collector and not pooled, since pools of large buffers do not shrink.
func grow(body []byte, most int64, c *claim) ([]byte, *Problem) {
	size := max(2*int64(cap(body)), smallBody)
	if cap(body) == smallBody {
		size = 4 * smallBody
	}
	size = min(size, most)
	if p := c.more(size); p != nil {
		return nil, p
	}
	grown := make([]byte, len(body), size)
	copy(grown, body)
	if cap(body) > 0 {
		c.less(int64(cap(body)))
	}
	return grown, nil
}
