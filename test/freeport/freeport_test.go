package freeport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fanfarebus/fanfare/test/freeport"
)

const (
	processes = 6
	portsEach = 300 // by chance alone, some sixty of all ports would be handed out twice
	callers   = 10  // goroutines in each process

	askedFor = "FREEPORT_TEST_PORTS" // in the environment: how many ports to take
)

// TestMain takes ports, if it is asked to, and keeps them until its input ends.
func TestMain(m *testing.M) {
	n, err := strconv.Atoi(os.Getenv(askedFor))
	if err != nil {
		os.Exit(m.Run())
	}
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for range n / callers {
				port, _, err := freeport.Take()
				fmt.Println(port, err)
			}
		})
	}
	running.Wait()
	fmt.Println("end")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// However many processes ask at the same time, each port is handed out once, and none is one
// that the system may give to a connection.
func TestProcessesGetDifferentPorts(t *testing.T) {
	var outputs []*bufio.Scanner
	var ends sync.WaitGroup
	defer ends.Wait()
	enough := make(chan struct{})
	defer close(enough)
	for range processes {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprint(askedFor, "=", portsEach))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ends.Go(func() {
			<-enough
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
		outputs = append(outputs, bufio.NewScanner(out))
	}
	first, last := ephemeral(t)
	owners := make(map[int]int) // by port: the process that has it
	for process, out := range outputs {
		for out.Scan() && out.Text() != "end" {
			var port int
			if _, err := fmt.Sscanf(out.Text(), "%d <nil>", &port); err != nil {
				t.Fatalf("process %d says %q", process, out.Text())
			}
			if other, taken := owners[port]; taken {
				t.Errorf("processes %d and %d both have port %d", other, process, port)
			}
			if first <= port && port <= last {
				t.Errorf("port %d is one of the system's, %d to %d", port, first, last)
			}
			owners[port] = process
		}
	}
	if len(owners) != processes*portsEach {
		t.Errorf("%d ports, want %d", len(owners), processes*portsEach)
	}
}

// ephemeral returns the first and the last of the ports that the system gives to
// connections. Without a file that says so it returns one that the system has just given.
func ephemeral(t *testing.T) (first, last int) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &first, &last); err != nil {
			t.Fatal(err)
		}
		return first, last
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	return port, port
}

// A port is the test's while it runs, and free for another when the test has ended.
func TestATestReleasesItsPorts(t *testing.T) {
	var address string
	t.Run("test", func(t *testing.T) {
		address = freeport.Address(t)
		if c, err := net.ListenPacket("udp", address); err == nil {
			_ = c.Close()
			t.Errorf("nothing reserves %s", address)
		}
	})
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatalf("still reserved: %v", err)
	}
	_ = c.Close()
}
