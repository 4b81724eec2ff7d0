package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/ports/api"
)

// checkOnBus fails unless every node reads what the bus took as the same message.
func checkOnBus(t *testing.T, all []*domain.Message) {
	t.Helper()
	for _, m := range all {
		if err := m.Check(); err != nil {
			t.Errorf("202, but the publisher would not take it: %v", err)
		}
		line := envelope.Append(nil, m)
		got, err := envelope.Decode(&domain.Entry{Body: line}, envelope.Rules{})
		if err != nil || !got.Equal(*m) {
			t.Errorf("202, but nodes read %q as %+v: %v", line, got, err)
		}
	}
}

func TestWhatIsRefusedAndWhatIsTaken(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for body, want := range map[string]int{
		`{"to":"user:alice","time":"9999-12-31T23:59:59-05:00","data":1}`:               422,
		`{"to":"user:alice","time":"0000-01-01T00:00:00+05:00","data":1}`:               422,
		`{"to":"user:alice","time":"9999-12-31T23:59:60Z","data":1}`:                    422,
		`{"to":"user:alice","time":"9999-12-31T23:59:59.999999999Z","data":1}`:          202,
		`{"to":"user:alice","time":"1990-12-31T23:59:60Z","data":1}`:                    202,
		`{"to":"user:alice","id":"\ud83d","data":1}`:                                    422,
		`{"to":"user:alice","type":"\ude00x","data":1}`:                                 422,
		`{"to":"user:\ud83d","data":1}`:                                                 422,
		`{"to":["*","room:\ud83d\ud83d"],"data":1}`:                                     422,
		`{"to":"user:alice","content_type":"\ud83d","data":1}`:                          422,
		`{"to":"user:alice","headers":{"a":"\ud83d"},"data":1}`:                         422,
		`{"to":"user:alice","headers":{"\ud83d":"a"},"data":1}`:                         422,
		`{"to":"user:alice","headers":{"a":"1","a":"2"},"data":1}`:                      422,
		`{"to":"user:alice","\ud83d":1,"data":1}`:                                       400,
		`{"to":"user:alice","to":"user:bob","data":1}`:                                  400,
		`{"to":"user:alice","To":"user:bob","data":1}`:                                  422,
		`{"to":"user:alice","data":"\ud83d"}`:                                           202,
		`{"to":"user:alice","data":{"a":1,"a":"\ud83d"}}`:                               202,
		`{"to":"user:alice","content_type":"text/plain","data":"\ud83d"}`:               422,
		`{"to":"user:alice","content_type":"text/html","data":"\ud83d\ude00"}`:          202,
		`{"to":"user:alice","ttl":30.0,"data":1}`:                                       202,
		`{"to":"user:alice","ttl":3e1,"data":1}`:                                        202,
		`{"to":"user:alice","ttl":0.5,"data":1}`:                                        422,
		`{"to":"user:alice","ttl":1e99,"data":1}`:                                       422,
		`{"to":"user:alice","content_type":"a/b+json","data_base64":"MSwiYSI6Mg=="}`:    422,
		`{"to":"user:alice","content_type":"application/json;charset=utf-16","data":1}`: 422,
		`{"to":"user:alice","content_type":"image/png","data":"x"}`:                     422,
		`{"to":"user:alice","content_type":"","id":"","type":"","data":1}`:              202,
		`{"to":"user:alice","headers":{},"data":null}`:                                  202,
		`{"to":"user:alice","headers":{"a":"","":"b"},"data_base64":""}`:                202,
		`{"to":[],"data":1}`:                           422,
		`{"to":null,"data":1}`:                         422,
		`{"to":"user:alice","data":` + deep(128) + `}`: 202,
		`{"to":"user:alice","data":` + deep(129) + `}`: 400,
	} {
		for form, body := range map[string]string{"alone": body, "in an array": "[" + body + "]"} {
			var b bus
			_, h := newAPI(t, &b, api.Config{})
			if got := do(t, h, request(body)); got.Status != want {
				t.Errorf("%s, %s: %+v, want %d", body, form, got, want)
			}
			checkOnBus(t, b.got)
		}
	}
}

func TestContentTypesOfRequests(t *testing.T) {
	for contentType, want := range map[string]int{
		"application/json;charset=UTF-8": 202, `Application/JSON; charset="utf-8"`: 202, "application/x-ndjson": 202, "application/ndjson;charset=utf-8": 202,
		"application/json;charset=iso-8859-1": 415, "application/x-ndjson; charset=utf-16": 415, "application/vnd.api+json": 415, "text/json": 415, "": 415,
		"application/json;charset=utf-8;charset=latin1": 415, "application/json, text/plain": 415,
	} {
		var b bus
		_, h := newAPI(t, &b, api.Config{})
		if got := do(t, h, request(good, "Content-Type", contentType)); got.Status != want {
			t.Errorf("%q: %+v, want %d", contentType, got, want)
		}
	}
}

// FuzzBody checks that a message which is answered 202 is read by every node as the same,
// and reaches clients as JSON.
func FuzzBody(f *testing.F) {
	f.Add([]byte(good), false)
	f.Add([]byte(`[{"to":"user:alice","time":"9999-12-31T23:59:59-05:00","ttl":30.0,"headers":{"a":""}}]`), false)
	f.Add([]byte(`{"to":"*","content_type":"a/b+json","data_base64":"MSwiYSI6Mg=="}`+"\n"+`{"to":"*","id":"\ud83d"}`), true)
	var b bus
	_, h := newAPI(f, &b, api.Config{})
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		b.got = nil
		contentType := map[bool]string{false: "application/json", true: "application/x-ndjson"}[lines]
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(string(body), "Content-Type", contentType))
		if w.Code >= http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Fatal(fmt.Sprint(w.Code, w.Body))
		}
		checkOnBus(t, b.got)
	})
}
