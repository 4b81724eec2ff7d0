package redisstream

import (
	"context"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

// maxLineages is how many topics a driver remembers the lineage of. It forgets any
// of them beyond that, which at worst causes a gap.
const maxLineages = 16 << 10

// Lineages tell whether a topic of a Redis Cluster has only been moved from one
// master to another, or may have lost entries.
//
// Redis replicates asynchronously: a replica that is promoted may lack the newest
// entries that its master had confirmed, and nothing in the stream says so, because
// a stream is then continued where the replica's copy ends. Therefore the log's
// identity holds the replication history of the master under which the driver first
// saw the topic. A promoted replica has another history, so what follows is another
// log, and all sessions and cursors are told a gap.
//
// A slot that is moved to another master takes its streams along, complete. If the
// master that had the topic is still a master with the same history, the topic was
// moved and not failed over, and the identity stays. That is only so if the new master
// was never promoted itself: it could have been promoted after the move, in the place of
// the server to which the topic was moved.
//
// Of a server that belongs to no cluster, lineages remember the logs of topics alone.
type lineages struct {
	masters *redisconn.Masters

	mu     sync.Mutex
	topics map[string]lineage // guarded by mu
}

// A lineage is what is known of one topic.
type lineage struct {
	now    redisconn.History // of the master that had the topic when it was last asked
	origin string            // the ID of the History with which the log began
	log    domain.LogID      // made of the origin; 0 if that is not known
	mute   time.Time         // until when publishers do not ask, because nobody answered
}

// known returns the log of a topic as it was last told, if the server at addr was the
// master that had it. If that was promoted or restarted meanwhile, the log is one that is
// gone. It returns 0 and true while publishers should not ask.
func (l *lineages) known(topic, addr string) (domain.LogID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.topics[topic]
	if ok && known.log != 0 && known.now.Addr == addr {
		return known.log, true
	}
	return 0, time.Now().Before(known.mute)
}

// mute has known say until a time that publishers should not ask.
func (l *lineages) mute(topic string, until time.Time) {
	l.mu.Lock()
	known := l.topics[topic]
	l.mu.Unlock()
	known.mute = until
	l.remember(topic, known)
}

// log returns the identity of the log of a topic, which a master with the history now
// has.
func (l *lineages) log(ctx context.Context, topic string, now redisconn.History) domain.LogID {
	l.mu.Lock()
	known, ok := l.topics[topic]
	l.mu.Unlock()
	switch {
	case ok && known.log != 0 && known.now.ID == now.ID:
	case ok && known.log != 0 && !now.Promoted && l.masters.Lives(ctx, known.now):
	default:
		known.origin = now.ID
		known.log = domain.NewLogID("redis-cluster-streams", topic, now.ID)
	}
	known.now = now
	l.remember(topic, known)
	return known.log
}

func (l *lineages) remember(topic string, known lineage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.topics[topic]; !ok && len(l.topics) >= maxLineages {
		for other := range l.topics {
			delete(l.topics, other)
			break
		}
	}
	l.topics[topic] = known
}
