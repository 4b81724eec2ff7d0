package dsn

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Params reads a URL's query parameters. Each method names one valid parameter and
// parses it. It returns the fallback if the parameter is not set or is wrong; then
// Err says what is wrong.
type Params struct {
	values url.Values
	known  []string // names that were asked for
	faults []error
}

// NewParams reads the query of u.
func NewParams(u *url.URL) *Params {
	values, err := url.ParseQuery(u.RawQuery)
	p := &Params{values: values}
	if err != nil {
		p.fault("the query cannot be read: escape special characters as %%XX")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			p.fault("parameter %q is given more than once", name)
		}
	}
	return p
}

// String returns the parameter, or fallback if it is not set.
func (p *Params) String(name, fallback string) string {
	p.known = append(p.known, name)
	if !p.values.Has(name) {
		return fallback
	}
	return p.values.Get(name)
}

// The most that a parameter can say. Every broker and every clock can add ten years
// to the present time, and subtract them.
const (
	MaxDuration = 10 * 365 * 24 * time.Hour
	MaxTimeout  = time.Hour
	MaxInt      = 1 << 50
)

// Duration returns the parameter as a duration from least to MaxDuration.
func (p *Params) Duration(name string, fallback, least time.Duration) time.Duration {
	return p.duration(name, fallback, least, MaxDuration)
}

// Timeout returns the parameter as a duration from least to MaxTimeout.
func (p *Params) Timeout(name string, fallback, least time.Duration) time.Duration {
	return p.duration(name, fallback, least, MaxTimeout)
}

func (p *Params) duration(name string, fallback, least, most time.Duration) time.Duration {
	if !p.given(name) {
		return fallback
	}
	s := p.values.Get(name)
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || d < least:
		p.fault("%s=%s: want a duration of at least %v, such as %v", name, s, least, fallback)
	case d > most:
		p.fault("%s=%s: want a duration of at most %v", name, s, most)
	default:
		return d
	}
	return fallback
}

// given notes that a parameter is known, and says whether it is set.
func (p *Params) given(name string) bool {
	p.known = append(p.known, name)
	return p.values.Has(name)
}

// Int returns the parameter as a number from least to MaxInt.
func (p *Params) Int(name string, fallback, least int) int {
	return p.IntTo(name, fallback, least, MaxInt)
}

// IntTo returns the parameter as a number from least to most.
func (p *Params) IntTo(name string, fallback, least, most int) int {
	if !p.given(name) {
		return fallback
	}
	s := p.values.Get(name)
	n, err := strconv.Atoi(s)
	switch {
	case err == nil && n > most, errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(s, "-"):
		p.fault("%s=%s: want a whole number of at most %d", name, s, most)
	case err != nil || n < least:
		p.fault("%s=%s: want a whole number of at least %d", name, s, least)
	default:
		return n
	}
	return fallback
}

// Bool returns the parameter as true or false.
func (p *Params) Bool(name string, fallback bool) bool {
	if !p.given(name) {
		return fallback
	}
	s := p.values.Get(name)
	b, err := strconv.ParseBool(s)
	if err != nil {
		p.fault("%s=%s: want true or false", name, s)
		return fallback
	}
	return b
}

// Err returns every fault that was found, among them each parameter that nobody has
// asked for; nil if there was none. Call it last.
func (p *Params) Err() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if slices.Contains(p.known, name) {
			continue
		}
		if len(p.known) == 0 {
			p.fault("unknown parameter %q: this transport takes none", name)
			continue
		}
		slices.Sort(p.known)
		p.fault("unknown parameter %q: use %s", name, strings.Join(slices.Compact(p.known), ", "))
	}
	return errors.Join(p.faults...)
}

func (p *Params) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}
