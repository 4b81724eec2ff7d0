package plane

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// marksAtOnce is how many marks are taken over at a time, while nobody else has the machine.
const marksAtOnce = 1000

// takeMarks tells the machine which marks of the node's sessions have changed.
func (l *loop) takeMarks() {
	for more := true; more; {
		var marks []control.Mark
		if marks, more = l.node.Marks(marksAtOnce); len(marks) > 0 {
			l.p.mark(marks)
		}
	}
}

func (p *Plane) mark(marks []control.Mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for i := range marks {
		p.machine.Mark(now, marks[i])
	}
}

// Marks calls yield for the marks of the sessions of a system, or of one user's if that is not
// "": see [control.Machine.Marks]. Yield must not call the Plane.
func (p *Plane) Marks(system domain.System, user string, yield func(mark *control.Mark, mine, alive bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Marks(system, user, yield)
}

// Hurry has what changes of a user's marks on this node said at once for a time.
func (p *Plane) Hurry(system domain.System, user string, within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Hurry(p.now(), system, user, within)
}

// Lost returns the nodes that died before they can have said what became of a message that a
// log took at a time, in Unix milliseconds.
func (p *Plane) Lost(logged int64) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Lost(logged)
}

// Changed returns a channel that is closed when something that the Plane knows may have
// changed.
func (p *Plane) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}
