package history

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
)

func targetName(i int) domain.Target {
	if i == 0 {
		return domain.Everyone
	}
	t, err := domain.RoomTarget(fmt.Sprint("r", i, strings.Repeat("-", i*i%200)))
	if err != nil {
		panic(err)
	}
	return t
}

// drawRecord makes an entry with all that one can have. What is in it follows
// from a seed, which is faster than drawing each byte.
func drawRecord(t *rapid.T, now time.Time, targets int) record {
	return makeRecord(rapid.Uint64().Draw(t, "seed"), now, targets)
}

func makeRecord(seed uint64, now time.Time, targets int) record {
	r := rand.New(rand.NewPCG(seed, 0))
	e := record{added: now.Add(time.Duration(r.Int64N(1<<r.IntN(40)+1) - r.Int64N(1000)))}
	e.point.Position = domain.Position(binary.BigEndian.AppendUint64(nil, r.Uint64N(1<<r.IntN(60)+1)))[r.IntN(8):]
	e.point.Log = domain.LogID(r.IntN(2) * r.IntN(3))
	if r.IntN(8) > 0 {
		e.point.Time = now.Add(time.Duration(r.Int64N(1e12) - 5e11)).Truncate(time.Millisecond).UTC()
	}
	if r.IntN(3) == 0 {
		e.point.ID = r.Uint64()
	}
	for range r.IntN(2) * r.IntN(4) {
		e.point.Origins = append(e.point.Origins, domain.Location{Log: domain.LogID(r.Uint64()), Position: domain.Position(fmt.Sprint(r.IntN(1e9)))})
	}
	switch r.IntN(12) {
	case 0:
		e.reason = []domain.GapReason{domain.Lossy, domain.Trimmed, "another"}[r.IntN(3)]
	case 1: // a move
	default:
		e.message = makeMessage(r, &e.point, targets)
	}
	return e
}

func makeMessage(r *rand.Rand, at *Point, targets int) *domain.Message {
	text := func(most int) string {
		return strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(2)*r.IntN(most))
	}
	m := &domain.Message{ID: text(200), Type: text(50), From: text(30), Session: text(30), Traceparent: text(60), Receipt: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		at.ID = domain.HashID(m.ID)
	}
	for range 1 + r.IntN(1+r.IntN(5)) {
		m.To = append(m.To, targetName(r.IntN(targets)))
	}
	if r.IntN(20) == 0 { // many, and some of them twice
		for i := range 300 {
			m.To = append(m.To, targetName(i%targets))
		}
	}
	data := []byte(text(1 << r.IntN(11)))
	if r.IntN(50) == 0 {
		data = []byte(text(2 * maxChunk)) // an entry that may be larger than a chunk
	}
	var err error
	switch r.IntN(7) {
	case 0:
		err = m.SetData(domain.JSON, fmt.Appendf(nil, `{"a":%q}`, data))
	case 1:
		err = m.SetData(domain.Text, data)
	case 2:
		err = m.SetData("text/html", data)
	case 3:
		m.ContentType, m.Data = domain.JSON, []byte("{ not json")
	case 4:
		m.ContentType, m.Data = domain.Binary, append(data, 0xff, 0)
	case 5:
		m.ContentType, m.Data = domain.Binary, nil
	default:
		m.ContentType, m.Data = "", []byte{}
	}
	if err != nil {
		panic(err)
	}
	switch r.IntN(3) {
	case 0:
		m.Time = at.Time
	case 1:
		m.Time = time.Unix(r.Int64N(1e11)-5e10, r.Int64N(1e9))
	}
	m.TTL = time.Duration(r.IntN(2) * r.IntN(1e9))
	if r.IntN(4) == 0 {
		m.Headers = make(map[string]string)
		for i := range r.IntN(20) {
			m.Headers[fmt.Sprint(i, text(20))] = text(100)
		}
	}
	return m
}
