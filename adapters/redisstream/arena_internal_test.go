package redisstream

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
)

// The entries of a batch share memory, but no part of one reaches into another,
// however large they are.
func TestPartsOfABatchDoNotOverlap(t *testing.T) {
	for _, sizes := range [][]int{{0, 1, 2, 3}, {10, 10, 10}, {1, 100_000, 1, 40_000, 7}, {50_000}} {
		var memory arena
		var entries []domain.Entry
		var want []string
		for i, size := range sizes {
			part := func(name string) []byte { return bytes.Repeat(fmt.Append(nil, i, name), size) }
			fields := []field{{"to", part("to")}, {"data", part("data")}, {"type", part("type")}}
			want = append(want, fmt.Sprintf("%s %s %s", fields[0].value, fields[1].value, fields[2].value))
			memory.expected = len(sizes) - i
			e := memory.decode(fields)
			for _, f := range fields {
				clear(f.value) // the reader reads the next entry into the same memory
			}
			if cap(e.Body) != len(e.Body) || len(e.Header) != 2 || cap(e.Header) != 2 {
				t.Errorf("%v: entry %d has room to grow: body %d of %d, header %d of %d", sizes, i,
					len(e.Body), cap(e.Body), len(e.Header), cap(e.Header))
			}
			entries = append(entries, e)
		}
		for i, e := range entries {
			if got := fmt.Sprintf("%s %s %s", e.Header[0].Value, e.Body, e.Header[1].Value); got != want[i] {
				t.Errorf("%v: entry %d became %.99q", sizes, i, got)
			}
		}
	}
}
