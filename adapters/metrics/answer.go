package metrics

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// fresh is how long an answer is given to others, too, who ask while somebody
// still reads one.
const fresh = time.Second

// A scrape is an http.Handler that answers with what a registry shows. The text
// is made by one request at a time and then shared, so that neither many who
// ask nor those who do not read their answers keep others from theirs, or cost
// memory each.
type scrape struct {
	from prometheus.Gatherer
	now  func() time.Time

	mu      sync.Mutex // held while a text is made: others wait for that one
	readers int        // answers that are being written; guarded by mu
	made    time.Time  // guarded by mu
	plain   []byte     // guarded by mu; not changed after it was set
	small   []byte     // plain, compressed; nil until somebody wants it; guarded by mu
}

// ServeHTTP answers a scrape.
func (s *scrape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	compressed := acceptsGzip(r.Header)
	text, err := s.text(compressed)
	if err != nil {
		http.Error(w, "metrics cannot be gathered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer s.done()
	h := w.Header()
	h.Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	h.Set("Vary", "Accept-Encoding")
	if compressed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // who has gone needs no answer
}

// text returns an answer, of which done is to be told when it is written.
func (s *scrape) text(compressed bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == 0 || s.now().Sub(s.made) >= fresh {
		if err := s.make(); err != nil {
			return nil, err
		}
	}
	s.readers++
	if !compressed {
		return s.plain, nil
	}
	if s.small == nil {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(s.plain) // to memory
		_ = z.Close()
		s.small = b.Bytes()
	}
	return s.small, nil
}

func (s *scrape) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers--; s.readers == 0 {
		s.plain, s.small = nil, nil
	}
}

// make gathers anew. What could be gathered is shown even if something could not.
func (s *scrape) make() error {
	families, err := s.from.Gather()
	if len(families) == 0 && err != nil {
		return err
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return err
		}
	}
	s.plain, s.small, s.made = b.Bytes(), nil, s.now()
	return nil
}

func acceptsGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			refused := slices.Contains([]string{"q=0", "q=0.0", "q=0.00", "q=0.000"}, strings.ReplaceAll(parameters, " ", ""))
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return !refused
			}
		}
	}
	return false
}
