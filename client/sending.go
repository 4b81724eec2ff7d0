package client

import (
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

var errForeign = errors.New("data: with a content type that is not JSON, want []byte or string")

// check refuses names that are not UTF-8. encoding/json would replace bytes in them
// instead, so that two different names could become the same one.
func (m *Sending) check(system string) error {
	named := map[string]string{
		"system": system, "id": m.ID, "type": m.Type, "content type": m.ContentType,
	}
	for i, to := range m.To {
		named[fmt.Sprintf("to[%d]", i)] = to
	}
	for name, value := range m.Headers {
		named[fmt.Sprintf("the name of header %q", name)] = name
		named[fmt.Sprintf("header %q", name)] = value
	}
	for field, value := range named {
		if !utf8.ValidString(value) {
			return fmt.Errorf("%s: not UTF-8", field)
		}
	}
	return nil
}

// isJSON says whether data of the content type is JSON, as docs/protocol.md defines it.
func isJSON(contentType string) bool {
	name, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return name == "application/json" || strings.HasSuffix(name, "+json")
	}
	return false
}

// isText says whether the member data of an op holds a text in a JSON string, or else
// JSON. Only the type's name counts: text in another charset than UTF-8 is bytes, which
// nodes send as data_base64.
func isText(contentType string) bool {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.ToLower(strings.Trim(name, " \t"))
	return strings.HasPrefix(name, "text/") && !strings.HasSuffix(name, "+json")
}
