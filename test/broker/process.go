package broker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// pollInterval is how often a broker that starts is asked whether it answers.
const pollInterval = 10 * time.Millisecond

// A process is a broker's process. It may end by itself at any time.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// launch starts a command. The caller must see to it that the process ends.
func launch(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	_ = p.cmd.Wait() // how it ended is in p.cmd.ProcessState
	close(p.ended)
}

// running reports whether the process has not ended. A nil process is not running.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal to a process that runs.
func (p *process) signal(sig syscall.Signal) error {
	if !p.running() {
		return errors.New("it is not running")
	}
	return p.cmd.Process.Signal(sig)
}

// kill kills the process and waits for its end. It does nothing to a nil process.
func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	}
}

// await asks until answers returns no error. It returns an error as soon as the process has
// ended, and when it has not answered in time.
func (p *process) await(within time.Duration, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it has ended: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return err
		case <-time.After(pollInterval):
		}
	}
}
