package redisconn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// errNoCluster is the reply of a server that is not in cluster mode.
const errNoCluster = Error("ERR This instance has cluster support disabled")

// doubt has the cluster asked again before the next request.
func (m *Masters) doubt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = true
}

// slotMap returns the cluster's slots, which it asks for if need be.
func (m *Masters) slotMap(ctx context.Context) (*slotMap, error) {
	if slots, err := m.currentSlots(); slots != nil || err != nil {
		return slots, err
	}
	select {
	case m.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-m.loading }()
	// Another call may have asked while this one waited.
	if slots, err := m.currentSlots(); slots != nil || err != nil {
		return slots, err
	}
	slots, err := m.askForSlots(ctx)
	if err != nil {
		return nil, err
	}
	return slots, m.setSlots(slots)
}

// lastSlots returns the slots as the cluster has last told them.
func (m *Masters) lastSlots(ctx context.Context) (*slotMap, error) {
	m.mu.Lock()
	slots := m.slots
	m.refreshIfOld()
	m.mu.Unlock()
	if slots != nil {
		return slots, nil
	}
	return m.slotMap(ctx)
}

// currentSlots returns the slots if they need not be asked for. It also returns
// slots that are in doubt if they have just been asked for.
func (m *Masters) currentSlots() (*slotMap, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, domain.ErrClosed
	case m.stale && time.Since(m.loaded) >= reloadInterval:
		return nil, nil
	}
	m.refreshIfOld()
	return m.slots, nil
}

// refreshIfOld has the cluster asked again, without waiting, if that is long ago. For a
// server that has left the cluster goes on taking what is published on channels, and
// nothing would put the slots in doubt. The caller holds m.mu.
func (m *Masters) refreshIfOld() {
	if m.closed || m.slots == nil || time.Since(m.refreshed) < refreshInterval {
		return
	}
	m.refreshed = time.Now()
	m.running.Go(m.refresh)
}

func (m *Masters) refresh() {
	select {
	case m.loading <- struct{}{}:
	default:
		return // it is just being asked
	}
	defer func() { <-m.loading }()
	if slots, err := m.askForSlots(m.ctx); err == nil {
		_ = m.setSlots(slots) // it fails only once m is closed
	}
}

// setSlots notes the slots, and closes the clients of servers that have left the
// cluster.
func (m *Masters) setSlots(slots *slotMap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return domain.ErrClosed
	}
	m.slots, m.loaded, m.stale = slots, time.Now(), false
	m.refreshed = m.loaded
	for addr, client := range m.clients {
		if !slices.Contains(slots.nodes, addr) {
			_ = client.Close()
			delete(m.clients, addr)
		}
	}
	return nil
}

// askForSlots asks one server after the other, in random order, until one says which
// master holds which slot.
func (m *Masters) askForSlots(ctx context.Context) (*slotMap, error) {
	ctx, cancel := context.WithTimeout(ctx, m.server.dialTimeout)
	defer cancel()
	all := m.knownServers()
	var faults []error
	for _, addr := range all {
		slots, err := m.askServer(ctx, addr, m.server.dialTimeout/time.Duration(len(all)))
		if err == nil {
			return slots, nil
		}
		faults = append(faults, fmt.Errorf("%s: %w", addr, err))
	}
	return nil, fmt.Errorf("no server of the Redis Cluster says where topics are: %w", errors.Join(faults...))
}

// knownServers returns the servers that the cluster has named, in random order, and
// then those of the URL.
func (m *Masters) knownServers() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	if m.slots != nil {
		all = slices.Clone(m.slots.nodes)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, addr := range m.server.addrs {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// askServer asks one server which master holds which slot.
func (m *Masters) askServer(ctx context.Context, addr string, d time.Duration) (*slotMap, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	conn, err := m.server.dialTarget(ctx, target{addr: addr})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer conn.Bind(ctx)()
	conn.Queue("CLUSTER", "SLOTS")
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	slots, err := readSlotMap(conn, addr)
	switch {
	case err == errNoCluster:
		return nil, fmt.Errorf("the server is not a Redis Cluster (its URL must not say cluster=true): %w", err)
	case err == nil && len(slots.masters) == 0:
		return nil, errors.New("the server knows no masters: it has left the cluster, or was never in it")
	}
	return slots, err
}
