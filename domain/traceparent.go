package domain

// TraceparentLen is how long the traceparent of a message is, in bytes.
const TraceparentLen = 55

// CheckTraceparent returns a [FieldError] without a path unless s is empty or a
// traceparent of version 00 as [W3C Trace Context] §3.2 defines it, whose ids are not
// all zeros.
//
// [W3C Trace Context]: https://www.w3.org/TR/trace-context/#traceparent-header
func CheckTraceparent(s string) error {
	if s == "" {
		return nil
	}
	const trace, parent, flags = 3, 36, 53 // where these parts begin
	if len(s) != TraceparentLen || s[:trace] != "00-" || s[parent-1] != '-' || s[flags-1] != '-' {
		return errTraceparent
	}
	if !isID(s[trace:parent-1]) || !isID(s[parent:flags-1]) || !isHex(s[flags]) || !isHex(s[flags+1]) {
		return errTraceparent
	}
	return nil
}

var errTraceparent = invalid("", "want a W3C traceparent of version 00, such as "+
	"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

// isID reports whether s consists of lower-case hexadecimal digits and not of zeros alone.
func isID(s string) bool {
	zero := true
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
		zero = zero && s[i] == '0'
	}
	return !zero
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// ParseTraceparent reads a traceparent that another program has written. A later version
// than 00 becomes one of version 00 with the parts that both have, as the standard wants.
// Any other text that [CheckTraceparent] refuses becomes "", since a bad traceparent is as
// none. The result may share memory with text.
func ParseTraceparent(text string) string {
	if len(text) < TraceparentLen || text[:2] == "00" {
		if CheckTraceparent(text) != nil {
			return ""
		}
		return text
	}
	const flags = TraceparentLen - 2
	later := isHex(text[0]) && isHex(text[1]) && text[:2] != "ff" &&
		(len(text) == TraceparentLen || text[TraceparentLen] == '-')
	known := "00" + text[2:TraceparentLen]
	switch {
	case !later || CheckTraceparent(known) != nil:
		return ""
	case IsSampled(known): // the only flag that versions have in common
		return known[:flags] + "01"
	}
	return known[:flags] + "00"
}

// IsSampled reports whether a traceparent that passes [CheckTraceparent] says that its
// trace is recorded.
func IsSampled(traceparent string) bool {
	if len(traceparent) != TraceparentLen {
		return false
	}
	switch traceparent[TraceparentLen-1] {
	case '1', '3', '5', '7', '9', 'b', 'd', 'f':
		return true
	}
	return false
}
