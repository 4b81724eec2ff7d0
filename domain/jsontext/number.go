package jsontext

import (
	"bytes"
	"fmt"
	"strconv"
)

// Number returns a JSON number as the nearest float64. A number that is too
// large for a float64 is an [ErrType].
func Number(value []byte) (float64, error) {
	value, err := number(value)
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40s is too large", ErrType, value)
	}
	return f, nil
}

// Int returns a JSON number that is an integer in the sense of JSON Schema: its
// value has no fraction, however it is written, so 30, 30.0 and 3e1 are the
// same. A number that is no integer, or does not fit in an int64, is an
// [ErrType].
func Int(value []byte) (int64, error) {
	value, err := number(value)
	if err != nil {
		return 0, err
	}
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return n, nil
	}
	sign, digits, exponent := decimal(value)
	switch {
	case len(digits) == 0:
		return 0, nil
	case exponent < 0:
		return 0, fmt.Errorf("%w: %.40s is no integer", ErrType, value)
	case int64(len(digits))+exponent > 19:
		return 0, fmt.Errorf("%w: %.40s is too large", ErrType, value)
	}
	digits = append(digits, bytes.Repeat([]byte{'0'}, int(exponent))...)
	n, err := strconv.ParseInt(sign+string(digits), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40s is too large", ErrType, value)
	}
	return n, nil
}

// number checks that value is a number, and returns it without the white space
// around it.
func number(value []byte) ([]byte, error) {
	value = trim(value)
	if len(value) == 0 || value[0] != '-' && !isDigit(value[0]) {
		return nil, notA("number", value)
	}
	s := &scanner{text: value}
	if err := s.number(); err != nil {
		return nil, err
	}
	return value, s.end()
}

// decimal splits a valid number into a sign, digits that neither begin nor end
// with a zero, and an exponent: the number is digits × 10^exponent.
func decimal(value []byte) (sign string, digits []byte, exponent int64) {
	if value[0] == '-' {
		sign, value = "-", value[1:]
	}
	if e := bytes.IndexAny(value, "eE"); e >= 0 {
		exponent = parseExponent(value[e+1:])
		value = value[:e]
	}
	whole, fraction, _ := bytes.Cut(value, []byte{'.'})
	digits = append(append(digits, whole...), fraction...)
	exponent -= int64(len(fraction))
	digits = bytes.TrimLeft(digits, "0")
	short := bytes.TrimRight(digits, "0")
	return sign, short, exponent + int64(len(digits)-len(short))
}

// parseExponent reads an exponent, and clamps it to ±2^50. The clamping changes
// no result, since no text has enough digits to compensate for such an exponent.
func parseExponent(text []byte) int64 {
	const largest = 1 << 50
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n > largest || n < -largest {
		if text[0] == '-' {
			return -largest
		}
		return largest
	}
	return n
}
