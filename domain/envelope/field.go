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

func targets(value []byte) ([]domain.Target, error) {
	if value[0] == '"' {
		t, err := target(value)
		return []domain.Target{t}, err
	}
	if value[0] != '[' {
		return nil, &domain.FieldError{Problem: "want a target or an array of targets"}
	}
	var all []domain.Target
	err := jsontext.Array(value, func(v []byte) error {
		if len(all) == domain.MaxTargets {
			return &domain.FieldError{Problem: fmt.Sprintf("at most %d targets", domain.MaxTargets)}
		}
		t, err := target(v)
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

func target(value []byte) (domain.Target, error) {
	name, err := text(value)
	if err != nil {
		return domain.Target{}, err
	}
	return domain.ParseTarget(name)
}

func text(value []byte) (string, error) {
	s, err := jsontext.String(value)
	switch {
	case errors.Is(err, jsontext.ErrType):
		return "", &domain.FieldError{Problem: "want a string"}
	case err != nil:
		return "", &domain.FieldError{
			Problem: "want a string of characters: half a surrogate pair is none"}
	}
	return s, nil
}

func timestamp(value []byte) (time.Time, error) {
	s, err := text(value)
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(s)
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
		all[name] = header
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
