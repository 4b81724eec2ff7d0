package settings

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/auth"
)

// urls are one URL, or two with a space between. A file may have them as a list.
type urls string

// set parses what a layer has for a field, a scalar or a list of scalars.
func set(field, given any) error {
	items, isList := given.([]any)
	switch f := field.(type) {
	case *[]string:
		texts, err := list(given)
		*f = texts
		return err
	case *[]fanfare.Secret:
		texts, err := list(given)
		*f = each(texts, func(t string) fanfare.Secret { return fanfare.Secret(t) })
		return err
	case *[]fanfare.Webhook:
		texts, err := list(given)
		if err == nil {
			*f, err = webhooks(texts)
		}
		return err
	case *urls:
		if isList {
			texts, err := list(items)
			*f = urls(strings.Join(texts, " "))
			return err
		}
	}
	text, err := scalar(given)
	if err != nil {
		return err
	}
	return setScalar(field, text)
}

// webhooks reads webhooks.
func webhooks(texts []string) (all []fanfare.Webhook, err error) {
	for i, text := range texts {
		w, err := fanfare.ParseWebhook(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		all = append(all, w)
	}
	return all, nil
}

func setScalar(field any, text string) (err error) {
	switch f := field.(type) {
	case *string:
		*f = text
	case *urls:
		*f = urls(text)
	case *fanfare.Secret:
		*f = fanfare.Secret(text)
	case *bool:
		*f, err = strconv.ParseBool(text)
		return because(err, "want true or false")
	case *int:
		*f, err = integer(text)
		return positive(int64(*f), err, "a whole number, such as 1000")
	case *fanfare.Size:
		*f, err = size(text)
		return positive(int64(*f), err, "a size, such as 65536, 64KiB or 1.5MiB")
	case *time.Duration:
		*f, err = duration(text)
		return positive(int64(*f), err, "a duration, such as 800ms, 20s or 10m")
	default:
		panic(fmt.Sprintf("settings: the table has a field of type %T", field))
	}
	return nil
}

// integer reads a whole number. Of one that is too large for an int it makes the
// largest int, so that [fanfare.Config.Validate] says how large it may be.
func integer(text string) (int, error) {
	text = strings.ReplaceAll(text, "_", "")
	if len(text) > 1 && text[0] == '0' {
		return 0, errors.New("what begins with 0 is octal for some")
	}
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) && n > 0 {
		return n, nil // Atoi has made it the largest
	}
	return n, err
}

// anyDuration matches a duration that is well-formed, however long.
var anyDuration = regexp.MustCompile(`^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$`)

// duration reads a duration. One that is too long becomes the longest there is,
// for the same reason as in integer.
func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil && anyDuration.MatchString(text) {
		return math.MaxInt64, nil
	}
	return d, err
}

// anySize matches a size that is well-formed, however large.
var anySize = regexp.MustCompile(`^[0-9]+(\.[0-9]+)? *([KMG]i?B|kB|B)?$`)

// size reads a size. One that is too large becomes the largest there is, for the
// same reason as in integer.
func size(text string) (fanfare.Size, error) {
	n, err := fanfare.ParseSize(text)
	if err != nil && anySize.MatchString(text) && !strings.Contains(text, ".") {
		return math.MaxInt64, nil
	}
	return n, err
}

// because replaces an error of strconv by one that says what is wanted.
func because(err error, problem string) error {
	if err == nil {
		return nil
	}
	return errors.New(problem)
}

// positive refuses what is not more than zero. Zero itself would count as "not
// set", and be replaced by the default.
func positive(n int64, err error, want string) error {
	if err != nil || n <= 0 {
		return fmt.Errorf("want %s, more than 0", want)
	}
	return nil
}

// scalar returns the text of one value.
func scalar(given any) (string, error) {
	switch v := given.(type) {
	case string:
		v = strings.TrimSpace(v)
		if n := len(v); n > 1 && v[0] == v[n-1] && (v[0] == '"' || v[0] == '\'') {
			return "", errors.New("is in quotes, which would be part of it: leave them away")
		}
		return v, nil
	case null:
		return "", fmt.Errorf("%s is no value: leave the setting out, or quote it", string(v))
	case nil:
		return "", errors.New("has an empty element")
	default:
		return "", errors.New("want one value, not a list or a section")
	}
}

// list reads a list, or text with commas or line breaks between the items.
func list(given any) ([]string, error) {
	var all []string
	if items, ok := given.([]any); ok {
		for _, item := range items {
			text, err := scalar(item)
			if err != nil {
				return nil, err
			}
			if text == "" {
				return nil, errors.New("has an empty element")
			}
			all = append(all, text)
		}
		return all, nil
	}
	text, err := scalar(given)
	if err != nil {
		return nil, err
	}
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all, nil
}

// show prints a field as it could be given, secrets hidden.
func show(field any) string {
	switch f := field.(type) {
	case *string:
		return quoted(redacted(*f))
	case *urls:
		return quoted(redactedURLs(string(*f)))
	case *fanfare.Secret:
		return quoted(f.String())
	case *[]string:
		return "[" + strings.Join(each(each(*f, redacted), quoted), ", ") + "]"
	case *[]fanfare.Secret:
		entries := each(*f, func(s fanfare.Secret) string {
			return quoted(auth.ShowKeyEntry(string(s)))
		})
		return "[" + strings.Join(entries, ", ") + "]"
	case *[]fanfare.Webhook:
		return "[" + strings.Join(each(*f, func(w fanfare.Webhook) string { return quoted(w.String()) }), ", ") + "]"
	case *bool:
		return strconv.FormatBool(*f)
	case *int:
		return strconv.Itoa(*f)
	case *time.Duration:
		return brief(*f)
	default:
		return fmt.Sprint(field)
	}
}

// brief shows a duration without the zeros that its String adds: 10m, not 10m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// quoted shows a text as it can stand in a file: in quotes where YAML would take
// it for something else.
func quoted(s string) string {
	switch {
	case s == "", s != strings.TrimSpace(s), strings.ContainsFunc(s, unprintable),
		strings.ContainsAny(s, "*#\"'{}[],&!|>%@`\\"), strings.Contains(s, ": "), strings.HasSuffix(s, ":"),
		strings.ContainsAny(s[:1], "-?:~<"), strings.EqualFold(s, "null"):
		return strconv.Quote(s)
	}
	return s
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// each returns what f makes of each of all; nil of none.
func each[T, U any](all []T, f func(T) U) []U {
	if len(all) == 0 {
		return nil
	}
	out := make([]U, len(all))
	for i, v := range all {
		out[i] = f(v)
	}
	return out
}
