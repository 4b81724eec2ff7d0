package redisstream

import (
	"context"
	"time"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// locate notes in the records where their logs have them: the server's replies are the ids
// of the entries.
func (d *Driver) locate(ctx context.Context, records []transport.Outgoing, pipe *redisconn.Pipeline) {
	var room [stackPositions * positionSize]byte
	all := room[:0]
	last := publishedTopic{}
	for i := range records {
		records[i].Stored = transport.Stored{}
		reply, addr, ok := pipe.Reply(i)
		if !ok {
			continue
		}
		text, _ := reply.(string)
		added, err := parseID([]byte(text))
		if err != nil {
			continue
		}
		r := &records[i]
		if last.topic != r.Topic || last.addr != addr {
			last = publishedTopic{r.Topic, addr, d.publishedLog(ctx, r.Topic, addr)}
		}
		if last.log != 0 {
			r.At.Log, r.Time = last.log, added.time()
			all = added.appendTo(all)
		}
	}
	positions := domain.Position(all)
	for i := range records {
		if records[i].At.Log != 0 {
			records[i].At.Position, positions = positions[:positionSize], positions[positionSize:]
		}
	}
}

// stackPositions is how many positions are made without an allocation but the one that
// they share.
const stackPositions = 64

const (
	// historyTimeout is how long a publish that was taken waits for the server's history.
	historyTimeout = 200 * time.Millisecond
	// historyPause is how long nobody asks for it after it was not told.
	historyPause = time.Minute
)

// A publishedTopic is the topic of a record, the server that took it, and the log.
type publishedTopic struct {
	topic, addr string
	log         domain.LogID
}

// publishedLog returns the log of a topic that the server at addr has; 0 if it is not known.
// In a cluster the server's history has to be known. It is asked for when the topic is first
// published to, and when it has gone to another server. What a restart of the server has
// changed becomes known when the topic is followed.
func (d *Driver) publishedLog(ctx context.Context, topic, addr string) domain.LogID {
	if log, ok := d.lineages.known(topic, addr); ok {
		return log
	}
	if !d.server.IsCluster() {
		log := d.logOf(topic)
		d.lineages.remember(topic, lineage{log: log})
		return log
	}
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	now, err := d.masters.HistoryAt(ctx, addr)
	if err != nil { // such as that the user may not ask
		d.lineages.mute(topic, time.Now().Add(historyPause))
		return 0
	}
	return d.lineages.log(ctx, topic, now)
}
