package envelope

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/jsontext"
)

// targets reads one target, or an array of them, and appends them to all.
func (x *texts) targets(value []byte, all []domain.Target) ([]domain.Target, error) {
	if value[0] == '"' {
		t, err := x.target(value)
		return append(all, t), err
	}
	if value[0] != '[' {
		return nil, &domain.FieldError{Problem: "want a target or an array of targets"}
	}
	err := jsontext.Array(value, func(v []byte) error {
		if len(all) == domain.MaxTargets {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d targets", domain.MaxTargets)}
		}
		t, err := x.target(v)
		if err != nil {
			return domain.At(fmt.Sprintf("[%d]", len(all)), err)
		}
		all = append(all, t)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = &domain.FieldError{Problem: "a message needs at least one target"}
	}
	return all, err
}

func (x *texts) target(value []byte) (domain.Target, error) {
	name, err := text(value)
	switch {
	case err != nil:
		return domain.Target{}, err
	case string(name) == domain.KindAll:
		return domain.Everyone, nil
	}
	return domain.ParseTarget(x.add(name))
}

// text decodes a string in a text that is known to be valid. The result may share
// memory with value.
func text(value []byte) ([]byte, error) {
	s, err := jsontext.Text(value)
	switch {
	case errors.Is(err, jsontext.ErrType):
		return nil, &domain.FieldError{Problem: "want a string"}
	case err != nil:
		return nil, &domain.FieldError{
			Problem: "want a string of characters: half a surrogate pair is none"}
	}
	return s, nil
}

// texts makes the short strings of one message, most of which share one
// allocation. It must not be copied once it is in use.
type texts struct{ chunk strings.Builder }

// textChunk is how many bytes are allocated at least. The target, id and type of
// most messages fit in.
const textChunk = 80

// read decodes a string in a text that is known to be valid.
func (x *texts) read(value []byte) (string, error) {
	s, err := text(value)
	if err != nil {
		return "", err
	}
	return x.add(s), nil
}

// add returns s as a string.
func (x *texts) add(s []byte) string {
	start := x.reserve(len(s))
	x.chunk.Write(s) // never fails
	return x.chunk.String()[start:]
}

// clone returns a copy of s, which may be part of a larger text.
func (x *texts) clone(s string) string {
	start := x.reserve(len(s))
	x.chunk.WriteString(s) // never fails
	return x.chunk.String()[start:]
}

// reserve makes room for n more bytes, and returns the offset of the first.
func (x *texts) reserve(n int) int {
	if n > x.chunk.Cap()-x.chunk.Len() {
		x.chunk.Reset() // what was returned before keeps its memory
		x.chunk.Grow(max(n, textChunk))
	}
	return x.chunk.Len()
}

func timestamp(value []byte) (time.Time, error) {
	s, err := text(value)
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(string(s))
}

// parseTime reads an [RFC 3339] time. A leap second becomes the second after it,
// since neither Go nor Unix time can express one.
//
// [RFC 3339]: https://www.rfc-editor.org/rfc/rfc3339
func parseTime(s string) (time.Time, error) {
	upper := strings.ToUpper(s) // RFC 3339 §5.6 allows a lower-case t and z
	const seconds = len("2006-01-02T15:04:")
	leap := len(upper) > seconds+2 && upper[seconds-1:seconds+2] == ":60"
	if leap {
		upper = upper[:seconds] + "59" + upper[seconds+2:]
	}
	t, err := time.Parse(time.RFC3339Nano, upper)
	t = t.UTC()
	if leap {
		if t.Hour() != 23 || t.Minute() != 59 {
			err = errors.New("no leap second") // leap seconds end a day in UTC
		}
		t = t.Add(time.Second).Truncate(time.Second)
	}
	if err != nil {
		return time.Time{}, &domain.FieldError{
			Problem: "want an RFC 3339 time such as 2026-01-31T12:00:00Z"}
	}
	return t, nil
}

// seconds reads an integer in the sense of JSON Schema, in which 30.0 is one.
func seconds(value []byte) (time.Duration, error) {
	n, err := jsontext.Int(value)
	if err != nil || n < 0 || n > int64(domain.MaxTTL/time.Second) {
		return 0, &domain.FieldError{Problem: fmt.Sprintf("want whole seconds, 0 to %d",
			int64(domain.MaxTTL/time.Second))}
	}
	return time.Duration(n) * time.Second, nil
}

// headerSeconds reads seconds from a header, where they need not be written as
// JSON: existing publishers write 030 and +30, which were always accepted.
func headerSeconds(s string) (time.Duration, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		s = strconv.FormatInt(n, 10)
	}
	return seconds([]byte(s))
}

func boolean(value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, &domain.FieldError{Problem: "want true or false"}
}

func headers(value []byte) (map[string]string, error) {
	if value[0] != '{' {
		return nil, &domain.FieldError{Problem: "want an object of strings"}
	}
	var all map[string]string
	err := jsontext.Object(value, func(name string, v []byte) error {
		header, err := text(v)
		if err != nil {
			return domain.At(name, err)
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[name] = string(header)
		if len(all) > domain.MaxHeaders {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d", domain.MaxHeaders)}
		}
		return nil
	})
	if errors.Is(err, ErrSyntax) {
		// The envelope around it was well-formed, so a header's name must be at
		// fault: it is there twice, or has half a surrogate pair.
		err = &domain.FieldError{Problem: err.Error()}
	}
	return all, err
}
