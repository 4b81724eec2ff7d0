package kafka_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// A broker without replicas that loses the end of its log, as in a power cut,
// gives the same offsets to others. Who has read the lost ones is told.
func TestALogThatLostItsEndAndGrewAgainIsABreak(t *testing.T) {
	s := broker.SharedKafka(t)
	k := newKit(t, s.URL())
	f := k.follow("")
	segment := filepath.Join(s.Dir(), k.topic+"-0", "00000000000000000000.log")
	k.add(1, 2)
	before, err := os.Stat(segment)
	k.must(err)
	k.add(3, 4)
	k.want([]string{"1", "2", "3", "4"}, k.bodies(f, 4))
	s.Kill()
	k.must(os.Truncate(segment, before.Size()))
	s.Restart()
	driverkit.Poll(t, func() bool { return k.d.Ping(t.Context()) == nil })
	k.settled()
	k.add(5, 9)
	k.refused(at(4), domain.UnknownCursor)
	k.want([]string{"5", "6", "7", "8", "9"}, k.bodies(k.follow(at(2)), 5))
	// Another node has not read them: to it the place is as good as any.
	other, err := open(t, k.url).Follow(t.Context(), k.topic, at(4))
	if err != nil {
		t.Fatalf("another node: %v", err)
	}
	_ = other.Close()
}
