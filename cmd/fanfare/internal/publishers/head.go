package publishers

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
)

const (
	maxBody  = 3 << 10 // of a simple request, in bytes
	maxHead  = 4 << 10 // of a simple request, in bytes: as much as net/http's buffers hold
	maxLines = 64      // of a simple request's header

	pathStart, pathEnd = "/v1/systems/", "/messages"
)

// A head is the head of a simple request, and what was read of the one before it: a
// publisher's requests resemble each other, and a line that is the same bytes need not
// be read again.
//
// A head is simple if
//
//   - its first line is POST /v1/systems/SYSTEM/messages HTTP/1.1, with a SYSTEM of
//     lower-case letters, digits, - and _;
//   - every line ends in CRLF, names are of letters, digits and -, values of printable
//     ASCII, and nothing stands between a name and its colon;
//   - it has one Host and one Content-Length, which is 1 to maxBody;
//   - it says nothing about connections, encodings of the transfer or expectations, see
//     isSpecial;
//   - it has no more than maxLines lines and maxHead bytes.
type head struct {
	path, host string
	length     int // of the body
	header     http.Header

	lines  []line
	values []string // what the values of header are slices of
}

// A line is a line of a header, with what was read of it.
type line struct{ text, name, value string }

// parse reads the head that text begins with, and returns its size in bytes. It returns
// false if text does not begin with a whole and simple head; then what it left in h is
// of no use.
func (h *head) parse(text []byte) (size int, ok bool) {
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, false
	}
	if size = end + len("\r\n\r\n"); size > maxHead {
		return 0, false
	}
	first, rest, _ := bytes.Cut(text[:end+len("\r\n")], []byte("\r\n"))
	if !h.parseFirst(first) {
		return 0, false
	}
	if h.header == nil {
		h.header = make(http.Header)
	}
	clear(h.header)
	h.host, h.length, h.values = "", 0, h.values[:0]
	n := 0
	for ; len(rest) > 0; n++ {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if n == maxLines || !h.parseLine(n, text) || !h.take(&h.lines[n]) {
			return 0, false
		}
	}
	h.forget(n)
	return size, h.host != "" && h.length > 0
}

// forget lets go what earlier heads had beyond the first n lines. Otherwise a client could
// leave a long line in each place, one after the other.
func (h *head) forget(n int) {
	if n < len(h.lines) {
		clear(h.lines[n:])
		h.lines = h.lines[:n]
		clear(h.values[len(h.values):cap(h.values)])
	}
}

// parseFirst reads the first line.
func (h *head) parseFirst(text []byte) bool {
	path, ok := bytes.CutPrefix(text, []byte("POST "))
	if !ok {
		return false
	}
	if path, ok = bytes.CutSuffix(path, []byte(" HTTP/1.1")); !ok {
		return false
	}
	if h.path == "" || h.path != string(path) {
		h.path = string(path)
	}
	if !isPublish(h.path) {
		h.path = ""
	}
	return h.path != ""
}

// isPublish reports whether a target is the path of the publish route, written as
// nobody could read it in another way.
func isPublish(target string) bool {
	if len(target) <= len(pathStart)+len(pathEnd) || target[:len(pathStart)] != pathStart ||
		target[len(target)-len(pathEnd):] != pathEnd {
		return false
	}
	for _, c := range []byte(target[len(pathStart) : len(target)-len(pathEnd)]) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// parseLine reads the line at index i into h.lines.
func (h *head) parseLine(i int, text []byte) bool {
	if i == len(h.lines) {
		h.lines = append(h.lines, line{})
	}
	l := &h.lines[i]
	if l.text == string(text) {
		return true
	}
	*l = line{}
	name, value, ok := bytes.Cut(text, []byte(":"))
	if !ok || !isName(name) {
		return false
	}
	value = bytes.Trim(value, " \t")
	for _, c := range value {
		if c < ' ' || c > '~' {
			return false
		}
	}
	*l = line{string(text), textproto.CanonicalMIMEHeaderKey(string(name)), string(value)}
	return true
}

func isName(name []byte) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return len(name) > 0
}

// take puts a line into the header. It returns false if the head is not simple with it.
func (h *head) take(l *line) bool {
	switch {
	case l.name == "Host": // which net/http does not put into the header
		ok := h.host == "" && isHost(l.value)
		h.host = l.value
		return ok
	case l.name == "Content-Length":
		n, err := strconv.ParseUint(l.value, 10, 31)
		if err != nil || n == 0 || n > maxBody || h.length > 0 {
			return false
		}
		h.length = int(n)
	case isSpecial(l.name) && !(l.name == "Connection" && isKeepAlive(l.value) && h.header[l.name] == nil):
		return false
	}
	h.values = append(h.values, l.value)
	end := len(h.values)
	if before := h.header[l.name]; before != nil {
		h.header[l.name] = append(before, l.value)
	} else {
		h.header[l.name] = h.values[end-1 : end : end]
	}
	return true
}

// isHost reports whether a host is of letters, digits, dots and dashes, with a port or
// without, or an IPv6 address.
func isHost(host string) bool {
	for _, c := range []byte(host) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '-' || c == ':' || c == '[' || c == ']') {
			return false
		}
	}
	return host != ""
}
