package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// What clients and publishers show, and nodes believe.
const (
	secret = "a-secret-of-the-benchmarks-of-32-bytes-or-more"
	apiKey = "benchmarks"
)

// A setup is what one variant is measured on.
type setup struct {
	processes []*exec.Cmd
	releases  []func() // of the ports of the processes
	urls      []string // of the nodes, or of the limit
	metrics   []string
	admin     []string // of the nodes' admin listeners
	lines     string   // where the limit takes messages; empty for nodes
	redis     string   // URL of the bus; empty for none
}

// stop ends all processes, and releases their ports.
func (s *setup) stop() {
	for _, p := range s.processes {
		_ = p.Process.Kill()
		_ = p.Wait() // it was killed
	}
	for _, release := range s.releases {
		release()
	}
}

// start starts what a variant needs. Files go to dir.
func start(ctx context.Context, bin, dir string, v variant) (s *setup, err error) {
	s = &setup{}
	defer func() {
		if err != nil {
			s.stop()
			s = nil
		}
	}()
	switch v.target {
	case limitWrite, limitJoin, limitMelody:
		return s, s.startLimit(ctx, filepath.Join(bin, "limit"), v.target)
	case streams:
		if err := s.startRedis(ctx, dir); err != nil {
			return s, err
		}
	}
	return s, s.startNodes(ctx, filepath.Join(bin, "fanfare"), dir, v)
}

func (s *setup) startLimit(ctx context.Context, bin, mode string) error {
	flags := map[string][]string{limitJoin: {"-join", "16"}, limitMelody: {"-melody"}}[mode]
	cmd := command(ctx, bin, flags...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.processes = append(s.processes, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s said %q: %w", bin, line, err)
	}
	clients, publishers, _ := strings.Cut(strings.TrimSpace(line), " ")
	s.urls, s.metrics, s.lines = []string{"http://" + clients}, []string{"http://" + clients + "/metrics"}, publishers
	return nil
}

func (s *setup) startRedis(ctx context.Context, dir string) error {
	address, err := s.freeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := command(ctx, "redis-server", "--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("redis-server: %w", err)
	}
	s.processes = append(s.processes, cmd)
	s.redis = streams + address + "/0"
	return until(ctx, func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
}

func (s *setup) startNodes(ctx context.Context, bin, dir string, v variant) error {
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		return err
	}
	transport := memory
	if s.redis != "" {
		transport = s.redis
	}
	sum := sha256.Sum256([]byte(apiKey))
	for range max(v.nodes, 1) {
		public, err := s.freeAddress()
		if err != nil {
			return err
		}
		admin, err := s.freeAddress()
		if err != nil {
			return err
		}
		flags := []string{"serve", "--listen", public, "--admin_listen", admin, "--admin.pprof",
			"--transport", transport, "--systems", "*", "--auth.jwt.secret_file", secretFile, "--log.level", "error",
			"--auth.api_keys", "bench:*:" + hex.EncodeToString(sum[:])}
		cmd := command(ctx, bin, append(flags, v.serve...)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		s.processes = append(s.processes, cmd)
		s.urls = append(s.urls, "http://"+public)
		s.admin = append(s.admin, "http://"+admin)
		s.metrics = append(s.metrics, "http://"+admin+"/metrics")
		ready := func() bool {
			answer, err := http.Get("http://" + public + "/readyz")
			return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
		}
		if err := until(ctx, ready); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
	}
	return nil
}

// command is a process that ends with this one.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// freeAddress returns an address of this machine that nothing listens on. It is this
// setup's until it ends.
func (s *setup) freeAddress() (string, error) {
	port, release, err := freeport.Take()
	if err != nil {
		return "", err
	}
	s.releases = append(s.releases, release)
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}

// until waits until something is so, for some seconds at most.
func until(ctx context.Context, so func() bool) error {
	for range 500 {
		if so() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("it does not get ready")
}
