package jsontext_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain/jsontext"
)

func TestObjectPassesEachFieldUnchanged(t *testing.T) {
	text := ` {"sub" : "al\u00efce", "Sub":[ 1 ,{"a":1,"a":2}], "\u0073\/\ud83d\ude00":"\ud83d","":null}` + "\n"
	want := [][2]string{{"sub", `"al\u00efce"`}, {"Sub", `[ 1 ,{"a":1,"a":2}]`}, {"s/😀", `"\ud83d"`}, {"", "null"}}
	var got [][2]string
	err := jsontext.Object([]byte(text), func(name string, value []byte) error {
		got = append(got, [2]string{name, string(value)})
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestObjectRefuses(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"n%d":0`, i)
	}
	for name, text := range map[string]string{
		"a name twice":             `{"a":1,"b":2,"a":1}`,
		"a name twice, escaped":    `{"a":1,"\u0061":2}`,
		"a name twice among many":  `{` + strings.Join(many, ",") + `,"n39":1}`,
		"an early name twice":      `{` + strings.Join(many, ",") + `,"n0":1}`,
		"half a pair in a name":    `{"\ud83d":1}`,
		"invalid UTF-8":            "{\"a\":\"\xff\"}",
		"a surrogate in UTF-8":     "{\"a\":\"\xed\xa0\xbd\"}",
		"an overlong form":         "{\"a\":\"\xc0\xaf\"}",
		"trailing data":            `{"a":1}{"a":1}`,
		"a trailing comma":         `{"a":1,}`,
		"a byte order mark":        "\ufeff{}",
		"a comment":                `{/**/}`,
		"single quotes":            `{'a':1}`,
		"an array":                 `[]`,
		"nothing":                  ``,
		"too deep":                 `{"a":` + nested(jsontext.MaxDepth+1, "1") + `}`,
		"a raw line break":         "{\"a\":\"\n\"}",
		"a number with a zero":     `{"a":01}`,
		"a number that only signs": `{"a":-}`,
		"NaN":                      `{"a":NaN}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := jsontext.Object([]byte(text), func(string, []byte) error { return nil })
			if !errors.Is(err, jsontext.ErrSyntax) {
				t.Errorf("got %v, want ErrSyntax", err)
			}
		})
	}
	if err := jsontext.Object([]byte(`{`+strings.Join(many, ",")+`}`), func(string, []byte) error { return nil }); err != nil {
		t.Errorf("forty names: %v", err)
	}
}

func TestWhatIsValidCanBeAFieldOfAnObjectInAnArray(t *testing.T) {
	for depth, good := range map[int]bool{jsontext.MaxDepth: true, jsontext.MaxDepth + 1: false} {
		for _, inside := range []string{"", "1"} {
			text := []byte(nested(depth, inside))
			if err := jsontext.Valid(text); (err == nil) != good {
				t.Errorf("%d deep: %v", depth, err)
			}
			object := []byte(`{"a":` + string(text) + `}`)
			if err := jsontext.Object(object, func(string, []byte) error { return nil }); (err == nil) != good {
				t.Errorf("%d deep, in an object: %v", depth, err)
			}
			if err := jsontext.Array([]byte("["+string(object)+"]"), func([]byte) error { return nil }); (err == nil) != good {
				t.Errorf("%d deep, in an object in an array: %v", depth, err)
			}
		}
	}
}

func TestValuesComeOneAfterTheOther(t *testing.T) {
	for text, want := range map[string][]string{
		" {\"a\":1}\n[2] 3\"x\"\t": {`{"a":1}`, `[2]`, `3`, `"x"`},
		"":                         nil, " ": nil, "}": {"error"}, "1 {\"a\":1": {"1", "error"}, "1\xff": {"error"}, nested(1024, "") + "1": {nested(1024, ""), "1"}, nested(1025, ""): {"error"},
	} {
		values := jsontext.NewValues([]byte(text))
		var got []string
		for {
			value, err := values.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				value = []byte("error")
			}
			got = append(got, string(value))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		" {\"a\": [1,\r\n2]}\n": `{"a":[1,2]}`, `{"a": "\n<\u2028"}`: `{"a": "\n<\u2028"}`, "[\n\"\\ud83d<\u2028\"]": "[\"\\ud83d<\u2028\"]",
	} {
		if got := jsontext.OneLine([]byte(text)); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestErrorsOfCallbacksAreReturnedUnchanged(t *testing.T) {
	mine := errors.New("mine")
	object := jsontext.Object([]byte(`{"a":1,"b":2}`), func(name string, _ []byte) error {
		if name != "a" {
			t.Error("it went on")
		}
		return mine
	})
	array := jsontext.Array([]byte(`[1,2]`), func(value []byte) error {
		if string(value) != "1" {
			t.Error("it went on")
		}
		return mine
	})
	if object != mine || array != mine { //nolint:errorlint // as they are
		t.Error(object, array)
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		`""`: "", ` "a" `: "a", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00e4\uD83D\uDE00\u0000"`: "ä😀\x00", `"😀\ufffd"`: "😀\ufffd",
	} {
		if got, err := jsontext.String([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, kind := range map[string]error{
		`"\ud83d"`: jsontext.ErrSyntax, `"\ude00\ud83d"`: jsontext.ErrSyntax, `"\ud83dx"`: jsontext.ErrSyntax, `"\ud83d\u0041"`: jsontext.ErrSyntax,
		`"\ud83d\ud83d"`: jsontext.ErrSyntax, `"\udbff\udfff\udc00"`: jsontext.ErrSyntax, `"a`: jsontext.ErrSyntax, `"a"b`: jsontext.ErrSyntax, `"\"`: jsontext.ErrSyntax,
		"\"\xff\"": jsontext.ErrSyntax, ``: jsontext.ErrSyntax, `x`: jsontext.ErrSyntax, "\u00a0\"a\"": jsontext.ErrSyntax,
		`1`: jsontext.ErrType, `null`: jsontext.ErrType, `["a"]`: jsontext.ErrType,
	} {
		if got, err := jsontext.String([]byte(text)); !errors.Is(err, kind) {
			t.Errorf("%s: %q, %v, want %v", text, got, err, kind)
		}
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{
		"30": 30, "30.0": 30, "3e1": 30, "3E+1": 30, "300e-1": 30, "0.3e2": 30, " 30 ": 30, "-0": 0, "-0.0": 0, "0e999999999999999999999": 0, "1.20e1": 12,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "9223372036854775807.000": math.MaxInt64, "-9.223372036854775808e18": math.MinInt64,
		"0.00000000000000000000000000000000000000000012e44": 12, "1" + strings.Repeat("0", 100) + "e-100": 1,
	} {
		if got, err := jsontext.Int([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, kind := range map[string]error{
		"30.5": jsontext.ErrType, "3e-1": jsontext.ErrType, "1e-999999999999999999999": jsontext.ErrType, "9223372036854775808": jsontext.ErrType, "-9223372036854775809": jsontext.ErrType,
		"1e19": jsontext.ErrType, "1e999999999999999999999": jsontext.ErrType, `"30"`: jsontext.ErrType, "null": jsontext.ErrType, "true": jsontext.ErrType,
		"": jsontext.ErrSyntax, "+30": jsontext.ErrSyntax, "030": jsontext.ErrSyntax, "30.": jsontext.ErrSyntax, ".5": jsontext.ErrSyntax, "0x1e": jsontext.ErrSyntax, "3_0": jsontext.ErrSyntax, "30 s": jsontext.ErrSyntax, "Inf": jsontext.ErrSyntax,
	} {
		if got, err := jsontext.Int([]byte(text)); !errors.Is(err, kind) {
			t.Errorf("%s: %d, %v, want %v", text, got, err, kind)
		}
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]float64{"1.5": 1.5, "-2e3": -2000, "1e-400": 0, "9999999999": 9999999999} {
		if got, err := jsontext.Number([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %g, %v, want %g", text, got, err, want)
		}
	}
	for text, kind := range map[string]error{"1e400": jsontext.ErrType, `"1"`: jsontext.ErrType, "Infinity": jsontext.ErrSyntax, "0x1p4": jsontext.ErrSyntax} {
		if got, err := jsontext.Number([]byte(text)); !errors.Is(err, kind) {
			t.Errorf("%s: %g, %v, want %v", text, got, err, kind)
		}
	}
}

// FuzzText compares what is taken with what encoding/json takes.
func FuzzText(f *testing.F) {
	for _, text := range []string{`{"a":1}`, `{"a":1,"a":2}`, `[1,"\ud83d"]`, `"\ud83d\ude00"`, `-30.50e+2`, "\"\xff\"", nested(129, "1"), ` null `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := jsontext.Valid(text)
		deep := valid != nil && strings.Contains(valid.Error(), "nested")
		if want := json.Valid(text) && utf8.Valid(text); (valid == nil) != want && !deep {
			t.Fatalf("%q: %v, want valid %v", text, valid, want)
		}
		checkObject(t, text)
		checkString(t, text, valid)
		checkInt(t, text)
		if n, err := jsontext.Number(text); err == nil && (valid != nil || math.IsInf(n, 0)) {
			t.Fatalf("%q is no number, but was read as %g", text, n)
		}
		count := 0
		err := jsontext.Array(text, func(value []byte) error { count++; return jsontext.Valid(value) })
		var all []json.RawMessage
		if err == nil && (json.Unmarshal(text, &all) != nil || len(all) != count) {
			t.Fatalf("%q: %d elements, want %d", text, count, len(all))
		}
	})
}

func checkObject(t *testing.T, text []byte) {
	got := make(map[string]string)
	err := jsontext.Object(text, func(name string, value []byte) error {
		if _, again := got[name]; again {
			t.Fatalf("%q: %q came twice", text, name)
		}
		got[name] = string(value)
		return jsontext.Valid(value)
	})
	if err != nil {
		return
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal(text, &want); err != nil || len(want) != len(got) {
		t.Fatalf("%q: %v, %v, want %s", text, err, got, want)
	}
	for name, value := range want {
		if got[name] != string(value) {
			t.Fatalf("%q: %q is %s, want %s", text, name, got[name], value)
		}
	}
}

func checkString(t *testing.T, text []byte, valid error) {
	got, err := jsontext.String(text)
	if err != nil {
		return
	}
	var want string
	if valid != nil || json.Unmarshal(text, &want) != nil || got != want || !utf8.ValidString(got) {
		t.Fatalf("%q: %q, want %q", text, got, want)
	}
}

func checkInt(t *testing.T, text []byte) {
	got, err := jsontext.Int(text)
	if err != nil {
		return
	}
	if len(text) > 400 || strings.ContainsAny(string(text), "eE") && len(text) > 6 {
		return // big.Rat would build a number with all its zeros
	}
	if want, ok := new(big.Rat).SetString(strings.Trim(string(text), " \t\r\n")); !ok || want.Cmp(new(big.Rat).SetInt64(got)) != 0 {
		t.Fatalf("%q: %d", text, got)
	}
}

func nested(depth int, inside string) string {
	return strings.Repeat("[", depth) + inside + strings.Repeat("]", depth)
}
