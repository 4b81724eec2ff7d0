package client

import (
	"errors"
	"strconv"
	"time"
)

// A Last says which of the latest messages to begin with: a number of them, or those of the
// time before now. Nodes give no more than 1,000 of them.
type Last struct {
	Count int           // from 1 to 1,000; 0 if Age counts
	Age   time.Duration // up to 366 days; 0 if Count counts
}

// Nodes refuse to give more.
const (
	mostLast    = 1000
	longestLast = 366 * 24 * time.Hour
)

func (l Last) check() error {
	byCount := l.Count >= 1 && l.Count <= mostLast && l.Age == 0
	byAge := l.Age > 0 && l.Age <= longestLast && l.Count == 0
	if !byCount && !byAge {
		return errors.New("want a Count from 1 to 1,000, or else an Age of up to 366 days")
	}
	return nil
}

// String returns what the protocol has for it: 20 or 5m0s.
func (l Last) String() string {
	if l.Count > 0 {
		return strconv.Itoa(l.Count)
	}
	return l.Age.String()
}

// value is what it is in an op.
func (l Last) value() any {
	if l.Count > 0 {
		return l.Count
	}
	return l.Age.String()
}

// A Coverage says whether all of the latest messages come that were asked for.
type Coverage struct {
	Complete bool
	// Reason says why some are missing, in the words of a [Gap]. It is empty if none is.
	Reason string
}
