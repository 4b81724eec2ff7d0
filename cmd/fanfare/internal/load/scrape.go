package load

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A usage is what nodes say of themselves in their metrics, added up.
type usage struct {
	CPU      time.Duration
	RSS      int64 // bytes
	sessions int64
}

// A scraper reads the metrics of nodes.
type scraper struct {
	urls   []string
	client *http.Client
}

// newScraper tries the metrics of all nodes. If they were guessed, and one does not
// answer, there are none.
func newScraper(ctx context.Context, cfg Config) (*scraper, error) {
	s := &scraper{urls: cfg.Metrics, client: &http.Client{
		Timeout: timeout, Transport: &http.Transport{TLSClientConfig: cfg.TLS},
	}}
	guessed := len(s.urls) == 0
	if guessed {
		for _, text := range cfg.URLs {
			u, err := parseNode(text)
			if err != nil {
				return nil, err
			}
			s.urls = append(s.urls, u.JoinPath("metrics").String())
		}
	}
	_, err := s.read(ctx)
	switch {
	case err == nil:
		return s, nil
	case guessed:
		s.urls = nil
		return s, nil
	}
	return nil, fmt.Errorf("--metrics: %w", err)
}

func (s *scraper) close() { s.client.CloseIdleConnections() }

// nodes is how many nodes are read; 0 if the metrics are not known.
func (s *scraper) nodes() int { return len(s.urls) }

// read adds up the metrics of all nodes.
func (s *scraper) read(ctx context.Context) (sum usage, err error) {
	for _, u := range s.urls {
		if err := s.add(ctx, u, &sum); err != nil {
			return usage{}, err
		}
	}
	return sum, nil
}

func (s *scraper) add(ctx context.Context, u string, sum *usage) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", u, answer.Status)
	}
	found := false
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue // a comment, or a metric with labels
		}
		switch name {
		case "process_cpu_seconds_total":
			sum.CPU += time.Duration(value * float64(time.Second))
			found = true
		case "process_resident_memory_bytes":
			sum.RSS += int64(value)
		case "fanfare_sessions":
			sum.sessions += int64(value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%s has no process_cpu_seconds_total", u)
	}
	return nil
}
