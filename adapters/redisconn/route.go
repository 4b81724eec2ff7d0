package redisconn

import (
	"context"
	"slices"
	"sync"
)

// sendAll sends the records, each to the server that holds its topic. To several
// servers it sends at the same time. Where a cluster redirects records, sendAll
// follows.
func (p *Pipeline) sendAll(ctx context.Context) {
	if !p.masters.server.cluster {
		if unsent := p.unsent(); len(unsent) > 0 {
			p.masters.send(ctx, target{}, unsent)
		}
		return
	}
	routed := p.route(ctx)
	for round := 0; len(routed) > 0; round++ {
		var sending sync.WaitGroup
		for to, records := range routed {
			if len(routed) == 1 {
				p.masters.send(ctx, to, records)
				break
			}
			sending.Go(func() { p.masters.send(ctx, to, records) })
		}
		sending.Wait()
		if round == maxRedirects {
			return
		}
		routed = p.masters.redirected(routed)
	}
}

// unsent returns the records that were not refused.
func (p *Pipeline) unsent() []*record {
	unsent := make([]*record, 0, len(p.records))
	for i := range p.records {
		if r := &p.records[i]; r.err == nil {
			unsent = append(unsent, r)
		}
	}
	return unsent
}

// route returns the records to send, in order, by the servers that hold their topics.
func (p *Pipeline) route(ctx context.Context) map[target][]*record {
	find, err := p.masters.finder(ctx)
	routed := make(map[target][]*record, 1)
	for _, r := range p.unsent() {
		var to target
		if r.err = err; err == nil {
			to, r.err = find(r.topic)
		}
		if r.err != nil {
			r.err = Classify(r.err)
			continue
		}
		routed[to] = append(routed[to], r)
	}
	return routed
}

// redirected returns, of records that were sent, those that a server has redirected,
// by where it has redirected them to. All records of a topic go to the same server,
// which is the one that the newest reply names.
//
// A record is left out if another of its topic that comes after it was not redirected:
// it would be published too late then. The publisher is told that it was refused.
func (m *Masters) redirected(sent map[target][]*record) map[target][]*record {
	next := make(map[target][]*record)
	for from, records := range sent {
		newest := make(map[string]target) // by topic; the zero target is no redirection
		for _, r := range slices.Backward(records) {
			to, _ := m.follow(r.err, from)
			if later, ok := newest[r.topic]; ok && to != (target{}) {
				to = later
			}
			newest[r.topic] = to
			if to != (target{}) {
				next[to] = append(next[to], r)
			}
		}
	}
	for _, records := range next {
		slices.Reverse(records)
	}
	return next
}
