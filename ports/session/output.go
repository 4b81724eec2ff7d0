package session

import (
	"github.com/fanfarebus/fanfare/internal/metric"
)

// An Output is what a port has written to the connections of its sessions.
type Output struct {
	Messages uint64 // once for each session
	Notices  uint64 // everything else: notices and answers
	Writes   uint64 // that carried them
	Bytes    uint64 // of these writes
	// Delay is from when the node read a message from the bus to when it was
	// written. Messages that sessions catch up with are not in it.
	Delay metric.Distribution
}

// OutputMetrics describes what ports have written, each by its name.
func OutputMetrics(ports map[string]func() Output) []metric.Metric {
	return []metric.Metric{
		ofPorts(ports, "messages_written_total",
			"Messages written to the connections of sessions, counted once for each session.",
			func(o Output) uint64 { return o.Messages }),
		ofPorts(ports, "notices_written_total",
			"Notices and answers written to the connections of sessions: "+
				"everything but messages, such as hello, gap and cursor.",
			func(o Output) uint64 { return o.Notices }),
		ofPorts(ports, "writes_total",
			"Writes to the connections of sessions that carried messages or notices, "+
				"and with the port sse heartbeats.",
			func(o Output) uint64 { return o.Writes }),
		ofPorts(ports, "written_bytes_total",
			"Bytes of the messages and notices written to the connections of sessions, "+
				"and with the port sse of heartbeats.",
			func(o Output) uint64 { return o.Bytes }),
		metric.TimePerLabel("delivery_delay_seconds",
			"Time from when the node read a message from the bus to when it was written to "+
				"the connection of a session, once for each session; "+
				"not of messages that a session catches up with.", "port",
			func() map[string]metric.Distribution {
				all := make(map[string]metric.Distribution, len(ports))
				for name, output := range ports {
					all[name] = output().Delay
				}
				return all
			}),
	}
}

// ofPorts describes one number of each port.
func ofPorts(
	ports map[string]func() Output, name, help string, read func(Output) uint64,
) metric.Metric {
	return metric.PerLabel(metric.Counter, name, help, "port", func() map[string]uint64 {
		all := make(map[string]uint64, len(ports))
		for port, output := range ports {
			all[port] = read(output())
		}
		return all
	})
}

// Delays are those of the messages that one write carries, or a few in a row. The zero value is empty.
// Messages that were read together are one entry.
type Delays struct{ list []delay }

type delay struct {
	since    metric.Stamp
	messages uint64
}

// Add adds a message that was read then. It does nothing if that is 0, as in a frame
// whose delay is not to be counted.
func (d *Delays) Add(read metric.Stamp) {
	if read != 0 {
		d.add(read, 1)
	}
}

// Join adds what is in other, which stays as it is.
func (d *Delays) Join(other *Delays) {
	for i := range other.list {
		d.add(other.list[i].since, other.list[i].messages)
	}
}

func (d *Delays) add(since metric.Stamp, messages uint64) {
	if last := len(d.list) - 1; last >= 0 && d.list[last].since == since {
		d.list[last].messages += messages
		return
	}
	d.list = append(d.list, delay{since, messages})
}

// Reset empties d.
func (d *Delays) Reset() { d.list = d.list[:0] }

// Take returns what is in d, as a value of its own, and empties d.
func (d *Delays) Take() Delays {
	taken := *d
	d.list = nil
	return taken
}

// Observe counts that the messages are written now, and empties d.
func (d *Delays) Observe(in *metric.Histogram) {
	if len(d.list) == 0 {
		return
	}
	now := metric.Now()
	for i := range d.list {
		in.Observe(now.Since(d.list[i].since), d.list[i].messages)
	}
	d.Reset()
}
