package client

import (
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

var errForeign = errors.New("data: with a content type that is not JSON, want []byte or string")

// check refuses what JSON cannot say: encoding/json would make other names of
// these, and two of them could become the same one.
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

// isJSON says whether data of the content type is JSON, by the protocol's rule.
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

// isText says whether data that came as data, and so is JSON or text, is text. The
// node has read the parameters: where they make bytes of it, data_base64 comes.
func isText(contentType string) bool {
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.ToLower(strings.Trim(name, " \t"))
	return strings.HasPrefix(name, "text/") && !strings.HasSuffix(name, "+json")
}
