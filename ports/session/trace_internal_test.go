package session

import "testing"

// A session may end between the two lists of those that are there and that have ended.
func TestASessionThatJustEndedIsNamedOnce(t *testing.T) {
	live := []*Session{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	got := withoutEnded(live, []endedSession{{id: "b"}, {id: "x"}})
	if len(got) != 2 || got[0].ID != "a" || got[1].ID != "c" {
		t.Errorf("got %v", got)
	}
}
