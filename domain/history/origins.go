package history

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// maxOrigins bounds how many logs are remembered that the present log holds
// copies of.
const maxOrigins = 64

// Origins are the logs of which the present log is known to hold copies.
type origins struct {
	logs     []domain.LogID
	complete bool // there are no others
}

// learn notes that the present log holds copies of another.
func (o *origins) learn(log domain.LogID) {
	if !slices.Contains(o.logs, log) && len(o.logs) < maxOrigins {
		o.logs = append(o.logs, log)
	}
}

// Survey notes of which logs the present log holds copies. If complete,
// there are no others.
func (h *History) Survey(logs []domain.LogID, complete bool) {
	for _, log := range logs {
		h.origins.learn(log)
	}
	h.origins.complete = complete
}

// IsOrigin reports whether the present log is known to hold copies of another.
func (h *History) IsOrigin(log domain.LogID) bool {
	return slices.Contains(h.origins.logs, log)
}

// NeedsSurvey reports whether it is not known if the present log holds copies
// of another.
func (h *History) NeedsSurvey(log domain.LogID) bool {
	return !h.origins.complete && !h.IsOrigin(log)
}
