package jetstream

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// A topic's stream that is a mirror can be read, but not published to.
func TestAMirrorIsOnlyRead(t *testing.T) {
	c := &jetstream.StreamConfig{Name: "t", Mirror: &jetstream.StreamSource{Name: "origin"}}
	if err := checkFit(c, "t", unusable); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := checkFit(c, "t", unwritable); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("published to: %v", err)
	}
}
