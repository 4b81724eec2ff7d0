package fanfare

import "github.com/fanfarebus/fanfare/internal/metric"

// Describe returns the metrics that a node shows, without its build_info.
func Describe(n *Node) []metric.Metric { return n.parts.describe() }

// BoundsOf returns the least and the most that the numbers in the settings may be,
// by the settings' names.
func BoundsOf(c Config) map[string][2]string {
	all := make(map[string][2]string)
	for _, b := range c.bounds() {
		all[b.key] = [2]string{b.show(b.low), b.show(b.high)}
	}
	return all
}
