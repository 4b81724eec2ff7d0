package session

import "bytes"

// CursorIn returns the cursor, as text, in a frame that [V1Encoder] or
// [CursorNotice] made, nil if the frame has none. The text shares the frame's memory.
//
// Sessions over Server-Sent Events need the cursor of each frame for the id of their
// event. To find it in the frame, which all sessions share, costs less than to encode
// it again for each.
func CursorIn(frame []byte) []byte {
	rest := frame
	for range 3 { // op, system, and id or reason
		if rest = afterMember(rest); rest == nil {
			return nil
		}
		if token, found := bytes.CutPrefix(rest, []byte(`,"cursor":"`)); found {
			token, _, _ = bytes.Cut(token, []byte{'"'})
			return token
		}
	}
	return nil
}

// afterMember returns what follows the first member in an object's text. It returns
// nil if that member is not a string.
func afterMember(object []byte) []byte {
	i := bytes.Index(object, []byte(`":"`))
	if i < 0 {
		return nil
	}
	for i += len(`":"`); i < len(object); i++ {
		switch object[i] {
		case '\\':
			i++
		case '"':
			return object[i+1:]
		}
	}
	return nil
}
