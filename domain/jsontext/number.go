package jsontext

import (
	"bytes"
	"fmt"
	"strconv"
)

// Number returns a JSON number as the nearest float64. It refuses what is too
// large for one.
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

// Int returns a JSON number that is an integer in the sense of JSON Schema:
// its value has no fraction, however it is written, so 30, 30.0 and 3e1 are
// the same. It refuses what does not fit into an int64.
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

// number returns the text of a number without space around it.
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

// decimal takes a valid number apart: it is the digits, which neither begin
// nor end with a zero, times ten to the power of the exponent.
func decimal(value []byte) (sign string, digits []byte, exponent int64) {
	if value[0] == '-' {
		sign, value = "-", value[1:]
	}
	if e := bytes.IndexAny(value, "eE"); e >= 0 {
		exponent = power(value[e+1:])
		value = value[:e]
	}
	whole, fraction, _ := bytes.Cut(value, []byte{'.'})
	digits = append(append(digits, whole...), fraction...)
	exponent -= int64(len(fraction))
	digits = bytes.TrimLeft(digits, "0")
	short := bytes.TrimRight(digits, "0")
	return sign, short, exponent + int64(len(digits)-len(short))
}

// power reads an exponent. What does not fit is as good as the largest that is
// returned: no text is long enough to make up for it.
func power(text []byte) int64 {
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
