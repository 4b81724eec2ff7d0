package session

import "bytes"

// CursorIn returns the cursor's token in a frame that V1Encoder or CursorNotice
// made, nil if it has none. It is part of the frame. Frames are shared by sessions that need to
// know the place of each: to find it again costs less than to encode it again.
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

// afterMember returns what follows the first member of an object, which is a
// string; nil if that is not so.
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
