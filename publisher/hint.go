package publisher

import (
	"maps"
	"slices"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/internal/editdistance"
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
		if n := editdistance.Of(scheme, name); n < fewest && n < len(name)/2 {
			best, fewest = name, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "://?"
}
