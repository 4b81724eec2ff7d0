package jsontext

import (
	"math/rand/v2"
	"testing"
)

func TestOrdinaryFindsTheFirstSpecialByte(t *testing.T) {
	const interesting = "\x00\x01\x1f !\"#[\\]a\x7f\x80\xa2\xdc\xff"
	for seed := range uint64(100_000) {
		random := rand.New(rand.NewPCG(seed, 0))
		text := make([]byte, random.IntN(24))
		want := len(text)
		for i := range text {
			text[i] = 'x'
			if random.IntN(4) == 0 {
				text[i] = interesting[random.IntN(len(interesting))]
			}
			if c := text[i]; want == len(text) && (c < ' ' || c == '"' || c == '\\') {
				want = i
			}
		}
		if got := ordinary(text); got != want {
			t.Fatalf("%q: %d, want %d", text, got, want)
		}
	}
}
