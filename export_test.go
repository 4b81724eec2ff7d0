package fanfare

import "github.com/fanfarebus/fanfare/internal/metric"

// Describe returns the metrics that a node shows, without its build_info.
func Describe(n *Node) []metric.Metric { return n.parts.describe() }
