package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/domain"
)

// describe shows a wanted message.
func describe(m *fanfare.Message) string {
	var data any = m.Data
	if text, ok := m.Data.(string); ok && m.ContentType != "" {
		data = []byte(text)
	}
	text := "(any)"
	if data != nil || m.Type == "" && m.ID == "" {
		text = briefly("", "", data)
		if data == nil {
			text = "(any)"
		}
	}
	if m.Type != "" {
		text = m.Type + " " + text
	}
	if m.ID != "" {
		text += " (id " + m.ID + ")"
	}
	if len(m.To) > 0 {
		text += " to " + strings.Join(m.To, ", ")
	}
	return text
}

// differences lists the fields in which a message is not as wanted.
func differences(want *fanfare.Message, got *client.Message) (faults []string) {
	differs := func(what string, want, got any) {
		faults = append(faults, fmt.Sprintf("%s: want %v, got %v", what, want, got))
	}
	if want.ID != "" && want.ID != got.ID {
		differs("id", want.ID, got.ID)
	}
	if want.Type != "" && want.Type != got.Type {
		differs("type", want.Type, got.Type)
	}
	if want.ContentType != "" && want.ContentType != got.ContentType {
		differs("content type", want.ContentType, got.ContentType)
	}
	if len(want.To) > 0 && got.To != "" && !slices.Contains(want.To, got.To) {
		differs("to", want.To, got.To)
	}
	for name, value := range want.Headers {
		if got.Headers[name] != value {
			differs("header "+name, value, got.Headers[name])
		}
	}
	if want.Data == nil {
		return faults
	}
	if expected, same := sameData(want, got.Data); !same {
		differs("data", expected, string(got.Data))
	}
	return faults
}

// sameData compares a message's data with what a publisher would make of the
// wanted data, which it also returns.
func sameData(want *fanfare.Message, got []byte) (expected string, same bool) {
	raw, isRaw := want.Data.([]byte)
	foreign := want.ContentType != "" && !domain.IsJSON(want.ContentType)
	if text, ok := want.Data.(string); ok && foreign {
		raw, isRaw = []byte(text), true
	}
	if isRaw {
		return string(raw), bytes.Equal(raw, got)
	}
	encoded, err := json.Marshal(want.Data)
	if err != nil {
		return err.Error(), false
	}
	return string(encoded), sameJSON(encoded, got)
}

func sameJSON(a, b []byte) bool {
	valueA, errA := parseJSON(a)
	valueB, errB := parseJSON(b)
	return errA == nil && errB == nil && reflect.DeepEqual(valueA, valueB)
}

// parseJSON decodes a JSON value, and keeps numbers as they are written.
func parseJSON(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}
