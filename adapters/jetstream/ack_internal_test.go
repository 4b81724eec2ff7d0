package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// What an answer means for a record: nothing, that the stream has it, that it has
// not, or that nobody knows.
func TestAnAnswerIsTakenForWhatItSays(t *testing.T) {
	refused, full := domain.ErrBusRefused, domain.ErrBusFull
	for answer, want := range map[string]error{
		`{"stream":"S","seq":1}`:                                                                                     nil,
		`{"stream":"S","domain":"hub","seq":1}`:                                                                      nil,
		`{"stream":"S","seq":1,"duplicate":true}`:                                                                    nil,
		`{ "seq" : 18446744073709551615,"stream":"S"}`:                                                               nil,
		`{"error":{"code":400,"err_code":10109,"description":"sealed"},"stream":"S","seq":0}`:                        refused,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}`:     full,
		`{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}`:                             full,
		`{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S"}`:  domain.ErrTooLarge,
		`{"error":{"code":400,"err_code":10097,"description":"header size exceeds maximum"},"stream":"S"}`:           domain.ErrTooLarge,
		`{"error":{"code":503,"err_code":10077,"description":"message too large"},"stream":"S","seq":0}`:             domain.ErrTooLarge,
		`{"error":{"code":503,"err_code":10077,"description":"store is closed"},"stream":"S","seq":0}`:               domain.ErrBusDown,
		`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"other","seq":0}`: &stranger{},
		`{"error":{"code":503,"description":"no"},"stream":"S"}`:                                                     &stranger{},
		`{"stream":"other","seq":1}`:                                                                                 &stranger{},
		`{"stream":"S","seq":0}`:                                                                                     &stranger{},
		`{"stream":"S","seq":-1}`:                                                                                    &stranger{},
		`{"stream":"S","seq":01}`:                                                                                    &stranger{},
		`{"stream":"S","seq":1}x`:                                                                                    &stranger{},
		`+OK`:                                                                                                        &stranger{},
		``:                                                                                                           &stranger{},
	} {
		err := readAck(&nats.Msg{Data: []byte(answer)}, "S")
		if odd := (*stranger)(nil); errors.As(want, &odd) {
			if !errors.As(err, &odd) || errors.Is(err, domain.ErrBusDown) {
				t.Errorf("%s: %v", answer, err)
			}
			continue
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", answer, err, want)
		}
		certain := errors.Is(want, refused) || errors.Is(want, full)
		if errors.Is(err, refused) != certain {
			t.Errorf("%s: certainly refused: %v", answer, err)
		}
	}
}
