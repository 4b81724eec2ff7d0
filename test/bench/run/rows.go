package main

import (
	"fmt"
	"strings"
)

// A figure is one number of a result: a column of a table.
type figure struct {
	title string
	field string  // path in the JSON of `fanfare bench`, or one of those that extra adds
	unit  float64 // what it is divided by; 0 is 1
	form  string  // of the number
}

// The figures that rows show. The first of a row is that of which the ratio is
// computed.
var (
	perDelivery = figure{"server, µs a delivery", "server.cpu_us_per_delivery", 0, "%.2f"}
	perMessage  = figure{"server, µs a message", "server.cpu_us_per_message", 0, "%.2f"}
	perConnect  = figure{"server, µs a connect", "server.cpu_us_per_connect", 0, "%.0f"}
	perResume   = figure{"server, µs a resume", "server.cpu_us_per_resume", 0, "%.0f"}
	perSession  = figure{"RSS, KiB a session", "server.rss_bytes_per_session", 1024, "%.1f"}
	rss         = figure{"RSS, MiB", "server.rss_bytes", 1 << 20, "%.0f"}
	windowBytes = figure{"counted, MiB", "window_bytes", 1 << 20, "%.1f"}
	heap        = figure{"heap after collection, MiB", "heap_bytes", 1 << 20, "%.1f"}
	own         = figure{"bench, µs a delivery", "bench.cpu_us_per_delivery", 0, "%.2f"}
	rate        = figure{"deliveries/s", "delivered_per_second", 0, "%.0f"}
	perFrame    = figure{"messages a frame", "messages_per_frame", 0, "%.1f"}
	p50         = figure{"p50, ms", "latency_ms.p50", 0, "%.2f"}
	p99         = figure{"p99, ms", "latency_ms.p99", 0, "%.2f"}
	entries     = figure{"messages", "window_entries", 0, "%.0f"}
	inGaps      = figure{"lost in gaps", "lost_in_gaps", 0, "%.0f"}
	gaps        = figure{"gaps told", "gaps", 0, "%.0f"}
)

// What is measured. The limits are modes of test/bench/limit.
const (
	limitWrite  = "a write each"
	limitJoin   = "up to 16 messages a write"
	limitMelody = "melody, bare"
	memory      = "memory://"
	streams     = "redis-streams://"
)

// A variant is one thing that is measured: a line of a table.
type variant struct {
	label  string
	target string   // limitWrite …, memory or streams
	nodes  int      // 0 is 1
	serve  []string // further flags of the nodes
	fill   []string // flags of a load that comes first and is not measured
	bench  []string // flags of the load
	viaBus bool     // publish straight to the bus
	extra  bool     // also read what is in the node's memory, after a collection
}

// A row is a table: variants that are measured one after the other in each round. The
// first is what the others are compared with.
type row struct {
	name     string
	title    string
	figures  []figure
	variants []variant
}

// args makes flags of a text with a space between them.
func args(text string, values ...any) []string { return strings.Fields(fmt.Sprintf(text, values...)) }

// rows are all rows, with loads that last for so long as t says. most is how many
// clients a node may have on this machine.
func rows(t times, most int) []row {
	busy := args("--duration %v --warm-up %v", t.busy, t.warmUp)
	fanOut := func(clients, inFlight int) []string {
		return append(args("--scenario fan-out --clients %d --in-flight %d --wait 40s", clients, inFlight), busy...)
	}
	unicast := func(clients int) []string {
		return append(args("--clients %d --in-flight 64 --publishers 64", clients), busy...)
	}
	idle := func(clients int) []string {
		return args("--scenario idle --clients %d --duration %v", clients, t.idle)
	}
	resume := func(clients, missed int) []string {
		return args("--scenario resume --clients %d --missed %d --batch 100 --publishers 8", clients, missed)
	}
	one := args("--publishers 1") // a publisher of the limit does not wait for answers
	steady := append(args("--clients 2000 --rate 1000"), busy...)
	plain := args("--protocol plain")
	with := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	all := []row{
		{"fan-out", "Fan-out to 2,000, 32 in flight", []figure{perDelivery, own, perFrame, rate}, []variant{
			{label: "limit: a write each", target: limitWrite, bench: with(fanOut(2000, 32), one)},
			{label: "limit: 16 in a write", target: limitJoin, bench: with(fanOut(2000, 32), one)},
			{label: "v1", target: memory, bench: fanOut(2000, 32)},
			{label: "plain", target: memory, bench: with(fanOut(2000, 32), plain)},
		}},
		{"fan-out-10000", "Fan-out to 10,000, 32 in flight", []figure{perDelivery, own, perFrame, rate}, []variant{
			{label: "limit: a write each", target: limitWrite, bench: with(fanOut(10000, 32), one)},
			{label: "v1", target: memory, bench: fanOut(10000, 32)},
		}},
		{"fan-out-one", "Fan-out to 2,000, one in flight", []figure{perDelivery, own, rate}, []variant{
			{label: "limit: a write each", target: limitWrite, bench: fanOut(2000, 1)},
			{label: "v1", target: memory, bench: fanOut(2000, 1)},
		}},
		{"stalled", "Fan-out to 2,000, while some read nothing", []figure{perDelivery, p50, p99, rss}, []variant{
			{label: "all read", target: memory, bench: fanOut(2000, 32)},
			{label: "20 more read nothing", target: memory, bench: with(fanOut(2000, 32), args("--stalled 20"))},
		}},
		{"unicast", "Unicast to 2,000 users, a request each", []figure{perDelivery, own, rate}, []variant{
			{label: "limit: a line each, no HTTP", target: limitWrite, bench: unicast(2000)},
			{label: "memory", target: memory, bench: unicast(2000)},
			{label: "Redis Streams", target: streams, bench: unicast(2000)},
		}},
		{"unicast-10000", "Unicast to 10,000 users, a request each", []figure{perDelivery, own, rate}, []variant{
			{label: "limit: a line each, no HTTP", target: limitWrite, bench: unicast(10000)},
			{label: "memory", target: memory, bench: unicast(10000)},
		}},
		{"unicast-bus", "Unicast to 2,000 users, published on the bus", []figure{perDelivery, own, rate}, []variant{
			{label: "limit: a line each", target: limitWrite, bench: unicast(2000)},
			{label: "Redis Streams", target: streams, bench: unicast(2000), viaBus: true},
		}},
		{"unicast-batch", "Unicast to 2,000 users, 50 in a request", []figure{perDelivery, own, rate}, []variant{
			{label: "limit: 50 lines in a write", target: limitWrite, bench: batches(busy)},
			{label: "memory", target: memory, bench: batches(busy)},
			{label: "Redis Streams", target: streams, bench: batches(busy)},
		}},
		{"rate", "1,000 messages a second to 2,000 users", []figure{p50, p99, perDelivery}, []variant{
			{label: "limit: a line each, no bus", target: limitWrite, bench: steady},
			{label: "Redis Streams", target: streams, bench: steady},
		}},
		{"idle", "Sessions that do nothing", []figure{perSession, perConnect}, []variant{
			{label: "limit: melody, bare", target: limitMelody, bench: idle(9000)},
			{label: "limit: upgrade, bare", target: limitWrite, bench: idle(9000)},
			{label: "v1, token", target: memory, bench: idle(9000)},
			{label: "plain, token", target: memory, bench: with(idle(9000), plain)},
		}},
		{"resume", "Clients that come back", []figure{perResume, perConnect, p99, gaps, inGaps}, []variant{
			{label: "5,000, 10 missed, memory", target: memory, bench: resume(5000, 10)},
			{label: "5,000, 10 missed, Redis Streams", target: streams, bench: resume(5000, 10)},
			{label: "5,000, 100 missed, Redis Streams", target: streams, bench: resume(5000, 100)},
		}},
		{"nobody", "A message for nobody here, from Redis Streams", []figure{perMessage}, []variant{
			{label: "1 client, 9,999 users absent", target: streams, viaBus: true,
				bench: with(args("--clients 1 --absent 9999 --in-flight 6400 --batch 100 --publishers 16"), busy)},
		}},
		{"window", "100,000 messages of 128 bytes in the window (13 MB of data)",
			[]figure{heap, windowBytes, entries, rss}, []variant{
				{label: "an empty node", target: streams, extra: true,
					bench: args("--scenario idle --clients 1 --duration 100ms")},
				{label: "100,000 messages", target: streams, extra: true, viaBus: true,
					serve: args("--window.bytes 1GiB --window.messages 10000000"),
					bench: args("--clients 1 --absent 4999 --rate 50000 --duration 2s --warm-up 0s --batch 50")},
			}},
	}
	return append(all, growth(t, most, fanOut, unicast, resume)...)
}

func batches(busy []string) []string {
	return append(args("--clients 2000 --in-flight 400 --publishers 8 --batch 50"), busy...)
}

// growth are the rows that show what becomes of the cost when there is more of
// something.
func growth(
	t times, most int, fanOut func(clients, inFlight int) []string, unicast func(clients int) []string,
	resume func(clients, missed int) []string,
) []row {
	sessions := row{"sessions", "More sessions", []figure{perDelivery, rate, rss}, nil}
	unicasts := row{"sessions-unicast", "More sessions, unicast", []figure{perDelivery, rate, rss}, nil}
	for _, n := range []int{100, 1000, 10_000, 20_000} {
		n = min(n, most)
		sessions.variants = append(sessions.variants,
			variant{label: fmt.Sprintf("%d, fan-out", n), target: memory, bench: fanOut(n, 32)})
		unicasts.variants = append(unicasts.variants,
			variant{label: fmt.Sprintf("%d, unicast", n), target: memory, bench: unicast(n)})
	}
	systems := row{"systems", "More systems, on Redis Streams", []figure{perDelivery, rate}, nil}
	for _, n := range []int{1, 10, 100} {
		systems.variants = append(systems.variants, variant{
			label: fmt.Sprintf("%d, unicast to 2,000", n), target: streams,
			bench: append(unicast(2000), args("--systems %d", n)...),
		})
	}
	window := row{"windows", "A larger window, full", []figure{perResume, p99, gaps, rss}, nil}
	for _, n := range []int{10, 100} {
		window.variants = append(window.variants, variant{
			label: fmt.Sprintf("%d MiB, 2,000 resume with 10 missed", n), target: streams,
			serve: args("--window.bytes %dMiB --window.messages 10000000", n),
			fill: args("--clients 1 --absent 9999 --size 1000 --batch 100 --in-flight 1600 --publishers 16 "+
				"--warm-up 0s --duration %dms", 30*n), // some 60 MB/s are published
			bench: resume(2000, 10),
		})
	}
	nodes := row{"nodes", "More nodes, on Redis Streams", []figure{perDelivery, rate}, nil}
	for _, n := range []int{1, 2, 3} {
		nodes.variants = append(nodes.variants,
			variant{label: fmt.Sprintf("%d, fan-out to 2,000", n), target: streams, nodes: n, bench: fanOut(2000, 32)})
	}
	spread := row{"nodes-unicast", "More nodes, unicast", []figure{perDelivery, rate}, nil}
	for _, n := range []int{1, 2, 3} {
		spread.variants = append(spread.variants,
			variant{label: fmt.Sprintf("%d, unicast to 2,000", n), target: streams, nodes: n, bench: unicast(2000)})
	}
	return []row{sessions, unicasts, systems, window, nodes, spread}
}
