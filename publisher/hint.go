package publisher

import (
	"maps"
	"slices"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// exampleDriver shows in an error how a driver is given.
const exampleDriver = "redisstream.Openers()"

// drivers are the packages below adapters that have a driver, by the schemes of their
// URLs. This package does not import them, so it knows their names alone.
var drivers = map[string]string{
	"memory":         "memory",
	"redis":          "redispubsub",
	"rediss":         "redispubsub",
	"redis-streams":  "redisstream",
	"rediss-streams": "redisstream",
	"nats":           "natscore",
	"tls":            "natscore",
	"jetstream":      "jetstream",
	"kafka":          "kafka",
}

// hint returns what to do about a scheme that no driver has which was given: give the
// driver whose scheme it is, or correct a slip of the pen; nothing if it is neither.
func hint(scheme string, given transport.Openers) string {
	if driver := drivers[scheme]; driver != "" {
		return "; or give publisher.New another driver beside these: " + driver + ".Openers()"
	}
	known := slices.AppendSeq(slices.Collect(maps.Keys(given)), maps.Keys(drivers))
	slices.Sort(known)
	best, fewest := "", 3 // with three changes it is another word
	for _, name := range known {
		if n := changes(scheme, name); n < fewest && n < len(name)/2 {
			best, fewest = name, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "://?"
}

// changes returns how many bytes must be inserted, left out or replaced to make b of a:
// their Levenshtein distance.
func changes(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
