package redisconn

import (
	"fmt"
	"net"
	"slices"
	"strconv"
)

// A slotMap says which master holds which hash slot, as one server of the cluster
// sees it.
type slotMap struct {
	owners  []string // by slot: the master's address, "" if no master holds the slot
	masters []string // the addresses of all masters, each once
	nodes   []string // the addresses of all masters and replicas, each once
}

// readSlotMap reads the reply to CLUSTER SLOTS. from is the address of the server
// that replied: a cluster may leave out the host, which then is the same.
func readSlotMap(conn *Conn, from string) (*slotMap, error) {
	ranges, err := conn.Array()
	if err != nil {
		return nil, err
	}
	m := &slotMap{owners: make([]string, numSlots)}
	known := make(map[string]bool)
	for range ranges {
		if err := m.readRange(conn, from, known); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readRange reads one range of slots: its first and its last slot, its master, and
// then its replicas.
func (m *slotMap) readRange(conn *Conn, from string, known map[string]bool) error {
	n, err := conn.Array()
	if err != nil {
		return err
	}
	var first, last int64
	if err := conn.Int(&first); err != nil {
		return err
	}
	if err := conn.Int(&last); err != nil {
		return err
	}
	if n < 3 || first < 0 || last < first || last >= numSlots {
		return fmt.Errorf("%w: the slots %d to %d", errProtocol, first, last)
	}
	for i := range n - 2 {
		addr, err := readNode(conn, from)
		if err != nil {
			return err
		}
		if !known[addr] {
			known[addr] = true
			m.nodes = append(m.nodes, addr)
		}
		if i > 0 {
			continue
		}
		if !slices.Contains(m.masters, addr) {
			m.masters = append(m.masters, addr)
		}
		for slot := first; slot <= last; slot++ {
			m.owners[slot] = addr
		}
	}
	return nil
}

// readNode reads a server's host and port, and drops what else there is about it.
func readNode(conn *Conn, from string) (addr string, err error) {
	n, err := conn.Array()
	if err != nil {
		return "", err
	}
	if n < 2 {
		return "", fmt.Errorf("%w: a server without an address", errProtocol)
	}
	host, err := conn.Text()
	if err != nil {
		return "", err
	}
	var port int64
	if err := conn.Int(&port); err != nil {
		return "", err
	}
	for range n - 2 {
		if err := conn.Skip(); err != nil {
			return "", err
		}
	}
	return withHost(host, strconv.FormatInt(port, 10), from), nil
}

// withHost joins a host and a port. A host that the cluster does not tell is that of
// the server at from.
func withHost(host, port, from string) string {
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(from)
	}
	return net.JoinHostPort(host, port)
}
