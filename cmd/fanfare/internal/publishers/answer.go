package publishers

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxKept bounds the buffers of an answer that are kept for the next one, in bytes.
const maxKept = 8 << 10

// An answer is the ResponseWriter of one request after the other. It collects the
// answer, which conn.answer sends in one write.
type answer struct {
	conn   *conn
	header http.Header
	status int // 0: the handler has not said it
	body   []byte
	by     time.Time // when the client must have read it; zero: the handler has not said it

	text  []byte   // what was sent last, for its memory
	names []string // of the header, for their memory
	date  []byte   // of the second, as the header has it
	at    int64    // the second, in Unix time
}

// begin makes the answer empty.
func (a *answer) begin() {
	clear(a.header)
	a.status, a.body, a.by, a.conn.body.by = 0, a.body[:0], time.Time{}, time.Time{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, text...)
	return len(text), nil
}

// SetReadDeadline is for [http.ResponseController]. The deadline is set when
// something has to be waited for, which is seldom.
func (a *answer) SetReadDeadline(by time.Time) error {
	a.conn.body.by = by
	return nil
}

// SetWriteDeadline is for [http.ResponseController], too. It counts from the time when
// the answer is sent.
func (a *answer) SetWriteDeadline(by time.Time) error {
	a.by = by
	return nil
}

// send sends the answer, which is made now. If it is the last one of the connection, it
// says so.
func (a *answer) send(to io.Writer, now time.Time, last bool) error {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.header["Content-Type"] == nil && len(a.body) > 0 {
		a.header.Set("Content-Type", http.DetectContentType(a.body))
	}
	a.header.Del("Content-Length") // these are the ones that are right
	a.header.Del("Connection")
	b := append(a.text[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(append(b, ' '), http.StatusText(a.status)...)
	a.names = slices.AppendSeq(a.names[:0], maps.Keys(a.header))
	slices.Sort(a.names)
	for _, name := range a.names {
		for _, value := range a.header[name] {
			b = appendLine(b, name, value)
		}
	}
	b = append(append(b, "\r\nDate: "...), a.dateOf(now)...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(a.body)), 10)
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(append(b, "\r\n\r\n"...), a.body...)
	if a.text = b[:0]; cap(b) > maxKept {
		a.text, a.body = nil, nil
	}
	_, err := to.Write(b)
	return err
}

// appendLine appends a line of a header. A line break in a value, which would begin
// another line, becomes a space, as in net/http.
func appendLine(b []byte, name, value string) []byte {
	b = append(append(append(b, "\r\n"...), name...), ": "...)
	start := len(b)
	b = append(b, value...)
	for i, c := range b[start:] {
		if c == '\r' || c == '\n' {
			b[start+i] = ' '
		}
	}
	return b
}

// dateOf returns the time as a Date header has it.
func (a *answer) dateOf(now time.Time) []byte {
	if now.Unix() != a.at || a.date == nil {
		a.at, a.date = now.Unix(), now.UTC().AppendFormat(a.date[:0], http.TimeFormat)
	}
	return a.date
}
