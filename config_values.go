package fanfare

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes. As text it is 65536, 64KiB or 1.5MiB (powers of
// 1,024), or 64kB (powers of 1,000).
type Size int64

// sizeUnits are the units that ParseSize knows. A longer name stands before one
// that it ends in; String uses the first three.
var sizeUnits = []struct {
	name  string
	bytes Size
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a Size. It refuses what is negative or too large for a Size. A
// number of kilobytes or more may have a fraction; the size is rounded down to
// whole bytes.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err == nil && n >= 0 && n <= math.MaxInt64/int64(unit) {
		return Size(n) * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	bytes := f * float64(unit)
	isDecimal := err == nil && !strings.ContainsAny(number, "eExXpP_")
	if isDecimal && unit > 1 && bytes >= 0 && bytes < 1<<62 {
		return Size(bytes), nil
	}
	return 0, fmt.Errorf("%q is no size: want bytes, such as 65536, 64KiB or 1.5MiB", text)
}

// String returns the size in the largest of GiB, MiB, KiB and B that divides it.
// [ParseSize] reads it back.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText writes the size as [Size.String] does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the size as [ParseSize] does.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// A Secret is a string that is not shown when it is printed, logged or encoded.
// A conversion to string shows it.
type Secret string

const hidden = "(hidden)"

// String returns "(hidden)", or "" if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText keeps the secret out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps the secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// reveal returns the secrets as they are.
func reveal(secrets []Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = string(s)
	}
	return texts
}
