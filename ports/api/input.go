package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// smallObject is the most bytes of the bodies that name at most a few things.
const smallObject = 64 << 10

// parameters returns the query parameters of a request. Unknown ones are refused, because
// a misspelled one would change what is asked for; only names that begin with _, as cache
// busters have, are ignored.
func parameters(r *http.Request, known []string) (map[string]string, *Problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault("query", "it cannot be read: use % and two hexadecimal digits for special characters")
	}
	var wrong faults
	found := map[string]string{}
	for name, list := range values {
		switch {
		case strings.HasPrefix(name, "_"):
		case !slices.Contains(known, name):
			want := "this route takes no parameters"
			if len(known) > 0 {
				want = "unknown parameter: want " + strings.Join(known, ", ")
			}
			wrong.add("", domain.At(name, &domain.FieldError{Problem: want}))
		case len(list) > 1:
			wrong.add("", &domain.FieldError{Path: name, Problem: "it is there more than once"})
		default:
			found[name] = list[0]
		}
	}
	wrong.sort()
	return found, wrong.because(undone)
}

// sort brings faults that were found in a map's order into the order of their locations.
func (f *faults) sort() {
	slices.SortFunc(f.list, func(a, b Fault) int { return strings.Compare(a.Location, b.Location) })
}

// fault is the answer to a request with one fault.
func fault(location, what string) *Problem {
	var wrong faults
	wrong.add("", &domain.FieldError{Path: location, Problem: what})
	return wrong.because(undone)
}

// maxWait is the longest that a command waits for other nodes.
const maxWait = 30 * time.Second

// wait returns how long a command waits for other nodes.
func (c *call) wait() (time.Duration, *Problem) {
	text, ok := c.query["wait"]
	if !ok {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, fault("wait", "want a time from 0s to 30s, such as 2s or 500ms")
	}
	return d, nil
}

// Bounds of how many users one answer has.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// limit returns the parameter limit, which is least or more.
func (c *call) limit(least int) (int, *Problem) {
	text, ok := c.query["limit"]
	if !ok {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > maxLimit {
		return 0, fault("limit", "want a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(maxLimit))
	}
	return n, nil
}

// name returns the parameter that names a user or a room, "" if it is not there.
func (c *call) name(parameter string) (string, *Problem) {
	name, ok := c.query[parameter]
	if !ok {
		return "", nil
	}
	if err := domain.CheckUser(name); err != nil {
		return "", fault(parameter, err.Error())
	}
	return name, nil
}

// after returns after which name an answer begins; "" stands for its beginning.
func (c *call) after() (string, *Problem) {
	if c.query["after"] == "" {
		return "", nil
	}
	return c.name("after")
}

// object reads a body that is a JSON object, or nothing.
func (a *API) object(
	limit int64, w http.ResponseWriter, r *http.Request, taken *claim,
) ([]byte, *Problem) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	lines, p := bodyForm(r)
	if lines || p != nil {
		return nil, problem(http.StatusUnsupportedMediaType,
			"want Content-Type: application/json, in UTF-8 and not compressed")
	}
	body, p := a.bodyUpTo(limit, w, r, taken)
	if p != nil {
		return nil, p
	}
	return trimLeft(body), taken.more(parsed * int64(len(body)))
}

// fields has for each member that a body may have what reads it. A member that is null is
// as if it were missing.
type fields map[string]func(value []byte) error

// read reads the body. The answer names every fault up to maxFaults.
func (c *call) read(f fields) *Problem {
	if len(c.body) == 0 {
		return nil
	}
	var wrong faults
	err := jsontext.Object(c.body, func(name string, value []byte) error {
		read, known := f[name]
		switch {
		case !known:
			wrong.add("", domain.At(name, &domain.FieldError{Problem: "unknown field"}))
		case string(value) == "null":
		default:
			if err := read(value); err != nil {
				wrong.add(name, err)
			}
		}
		return nil
	})
	if err != nil {
		wrong.add("", err)
	}
	return wrong.because(undone)
}

// text reads a string that check accepts.
func text(into *string, check func(string) error) func([]byte) error {
	return func(value []byte) (err error) {
		if *into, err = jsontext.String(value); err != nil {
			return err
		}
		return check(*into)
	}
}

// seconds reads a time in whole seconds, from 1 to most.
func seconds(into *time.Duration, most time.Duration) func([]byte) error {
	return func(value []byte) error {
		n, err := jsontext.Int(value)
		if err != nil {
			return err
		}
		if n < 1 || n > int64(most/time.Second) {
			return &domain.FieldError{
				Problem: "want whole seconds, from 1 to " + strconv.FormatInt(int64(most/time.Second), 10),
			}
		}
		*into = time.Duration(n) * time.Second
		return nil
	}
}

// moment reads a time: RFC 3339, or seconds since 1970, which may have a fraction.
func moment(into *time.Time) func([]byte) error {
	const lastYear = 9999
	return func(value []byte) error {
		if value[0] == '"' {
			s, err := jsontext.String(value)
			if err != nil {
				return err
			}
			t, err := time.Parse(time.RFC3339, s)
			if err != nil || t.UTC().Year() > lastYear || t.Unix() < 0 {
				return &domain.FieldError{
					Problem: "want a time as in 2026-11-30T13:25:00Z, or seconds since 1970"}
			}
			*into = t
			return nil
		}
		f, err := jsontext.Number(value)
		if err != nil {
			return &domain.FieldError{Problem: "want a time: text as in RFC 3339, or seconds since 1970"}
		}
		end := time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
		if f < 0 || f >= float64(end.Unix()) {
			return &domain.FieldError{Problem: "want seconds since 1970, in a year up to 9999"}
		}
		*into = time.UnixMilli(int64(f * 1000))
		return nil
	}
}
