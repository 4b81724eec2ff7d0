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
