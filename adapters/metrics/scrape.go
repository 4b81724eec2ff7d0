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

// maxAge is how old an answer may be that is given to another scraper, while the
// one it was made for is still reading it.
const maxAge = time.Second

// A scrape is an [http.Handler] that answers with what a registry shows, as text or
// in the binary format.
type scrape struct{ text, binary *answer }

func newScrape(from prometheus.Gatherer) *scrape {
	return &scrape{
		text:   &answer{from: from, now: time.Now, format: expfmt.FmtText},
		binary: &answer{from: from, now: time.Now, format: expfmt.FmtProtoDelim},
	}
}

// ServeHTTP answers a scrape.
func (s *scrape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wanted := expfmt.NegotiateAccept(r.Header, expfmt.FmtText, expfmt.FmtProtoDelim)
	if wanted.FormatType() == expfmt.TypeProtoDelim {
		s.binary.ServeHTTP(w, r)
		return
	}
	s.text.ServeHTTP(w, r)
}

// An answer is what scrapers are given in one format. The
// text is made by one request at a time and shared by those that come while it
// is being written. So many scrapers cost no more memory than one, and one that
// does not read its answer does not delay the others.
type answer struct {
	from   prometheus.Gatherer
	now    func() time.Time
	format expfmt.Format

	mu      sync.Mutex // held while a text is made: the others wait for that text
	readers int        // answers that are being written; guarded by mu
	made    time.Time  // guarded by mu
	plain   []byte     // guarded by mu; not changed after it was set
	small   []byte     // plain, compressed; nil until a scraper asks for it; guarded by mu
}

// ServeHTTP answers a scrape.
func (s *answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	compressed := acceptsGzip(r.Header)
	text, err := s.text(compressed)
	if err != nil {
		http.Error(w, "metrics cannot be gathered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer s.done()
	h := w.Header()
	h.Set("Content-Type", string(s.format))
	h.Set("Vary", "Accept, Accept-Encoding")
	if compressed {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // it fails if the scraper has gone, who then needs no answer
}

// text returns an answer. The caller calls done when it has written it.
func (s *answer) text(compressed bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers == 0 || s.now().Sub(s.made) >= maxAge {
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

// done forgets the text when the last answer has been written.
func (s *answer) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers--; s.readers == 0 {
		s.plain, s.small = nil, nil
	}
}

// make gathers the metrics and writes them. If some cannot be gathered,
// the others are shown. s.mu is held.
func (s *answer) make() error {
	families, err := s.from.Gather()
	if len(families) == 0 && err != nil {
		return err
	}
	var b bytes.Buffer
	out := expfmt.NewEncoder(&b, s.format)
	for _, f := range families {
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	s.plain, s.small, s.made = b.Bytes(), nil, s.now()
	return nil
}

// zeroWeights are the ways to write "not at all" in Accept-Encoding, by
// RFC 9110 §12.4.2.
var zeroWeights = []string{"q=0", "q=0.0", "q=0.00", "q=0.000"}

func acceptsGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return !slices.Contains(zeroWeights, strings.ReplaceAll(weight, " ", ""))
			}
		}
	}
	return false
}
