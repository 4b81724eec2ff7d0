package fanfare

import (
	"log/slog"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// Describe returns the metrics that a node shows, without its build_info.
func Describe(n *Node) []metric.Metric { return n.parts.describe() }

// LoggedPublisher returns what logs the publishes of a Publisher.
func LoggedPublisher(p domain.Publisher, log *slog.Logger) domain.Publisher {
	return loggedPublisher{p, log}
}
