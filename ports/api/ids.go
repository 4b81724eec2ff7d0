package api

import "github.com/fanfarebus/fanfare/domain"

// name gives an id to every message that has none. The ids of a batch sort as
// the batch does.
func (a *API) name(messages []*domain.Message) {
	for _, m := range messages {
		if m.ID == "" {
			m.ID = a.ids.Next()
		}
	}
}
