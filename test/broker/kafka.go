package broker

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// kafkaTimeout bounds how long a Kafka may take to start or to stop.
const kafkaTimeout = 90 * time.Second

// A KafkaServer is a Kafka broker that is its own controller. Its methods fail
// the test if something goes wrong, so only the test's own goroutine may call
// them.
type KafkaServer struct {
	t testing.TB
	p *kafkaProcess
}

// Kafka starts a broker that belongs to the test, and returns once it answers.
// Settings are the broker's own, such as "auto.create.topics.enable=true". If
// Kafka is not installed, the test is skipped.
func Kafka(t testing.TB, settings ...string) *KafkaServer {
	t.Helper()
	p, err := newKafka(needsKafka(t), t.TempDir(), settings)
	if err != nil {
		t.Fatalf("broker: %v", err)
	}
	t.Cleanup(p.close)
	if err := p.start(); err != nil {
		t.Fatalf("broker: %v", err)
	}
	return &KafkaServer{t, p}
}

// SharedKafka returns one broker for all tests of a package, since starting one
// takes a while. The broker is up and without faults, but holds what other tests
// have left in it. Tests that disturb it must not run in parallel. TestMain must
// call StopSharedKafka.
func SharedKafka(t testing.TB) *KafkaServer {
	t.Helper()
	home := needsKafka(t)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.p == nil {
		dir, err := os.MkdirTemp("", "fanfare-kafka-")
		if err == nil {
			shared.p, err = newKafka(home, dir, nil)
		}
		if err != nil {
			t.Fatalf("broker: %v", err)
		}
	}
	s := &KafkaServer{t, shared.p}
	if s.p.process.running() {
		s.Thaw()
	} else {
		s.Restart()
	}
	s.p.proxy.Pass()
	s.p.proxy.Mend()
	return s
}

var shared struct {
	mu sync.Mutex
	p  *kafkaProcess // guarded by mu
}

// StopSharedKafka stops the broker of SharedKafka, if there is one.
func StopSharedKafka() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.p != nil {
		shared.p.close()
		_ = os.RemoveAll(shared.p.dir)
		shared.p = nil
	}
}

// KafkaURL returns the URL of a real Kafka. It is the one in the environment
// variable KAFKA_URL, such as kafka://host:9092, or else that of SharedKafka.
// Tests must use topics of their own there.
func KafkaURL(t testing.TB) string {
	t.Helper()
	skipIfShort(t)
	if named := os.Getenv("KAFKA_URL"); named != "" {
		if u, err := url.Parse(named); err != nil || u.Scheme != "kafka" {
			t.Fatal("KAFKA_URL is no URL such as kafka://host:9092")
		}
		return named
	}
	return SharedKafka(t).URL()
}

// needsKafka skips the test if there is no Kafka to start, and returns where
// scripts/kafka has put it.
func needsKafka(t testing.TB) string {
	t.Helper()
	skipIfShort(t)
	cache, err := os.UserCacheDir()
	home := filepath.Join(cache, "fanfare", "kafka")
	if err == nil {
		_, err = os.Stat(filepath.Join(home, "libs"))
	}
	if err == nil {
		_, err = exec.LookPath("java")
	}
	if err != nil {
		t.Skipf("NO REAL KAFKA: this test did not run. "+
			"`make tools` installs java and maven and fetches a broker (%v)", err)
	}
	return home
}

// Addr returns the broker's host:port.
func (s *KafkaServer) Addr() string { return s.p.addr() }

// URL returns the broker's URL as a transport.
func (s *KafkaServer) URL() string { return "kafka://" + s.Addr() }

// Proxy returns a proxy to the broker. To clients that connect through it, the
// broker announces the proxy's address, so all their connections go through it.
func (s *KafkaServer) Proxy() *Proxy { return s.p.proxy }

// Dir returns the directory that holds the broker's log segments.
func (s *KafkaServer) Dir() string { return filepath.Join(s.p.dir, "data") }

// Kill kills the process, as kill -9 does.
func (s *KafkaServer) Kill() { s.signal(syscall.SIGKILL); <-s.p.process.ended }

// Stop stops the process with SIGTERM, as an operator does.
func (s *KafkaServer) Stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	select {
	case <-s.p.process.ended:
	case <-time.After(kafkaTimeout):
		s.t.Fatalf("broker: kafka did not stop within %v", kafkaTimeout)
	}
}

// Restart starts the broker again on the same port, with what it has on disk. It
// stops the broker first if it runs.
func (s *KafkaServer) Restart() {
	s.t.Helper()
	if s.p.process.running() {
		s.Stop()
	}
	if err := s.p.start(); err != nil {
		s.t.Fatalf("broker: %v", err)
	}
}

// Freeze suspends the broker: connections stay open and swallow what is sent, until
// Thaw.
func (s *KafkaServer) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw wakes a frozen broker.
func (s *KafkaServer) Thaw() { s.signal(syscall.SIGCONT) }

func (s *KafkaServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.p.process.signal(sig); err != nil {
		s.t.Fatalf("broker: %v: kafka: %v", sig, err)
	}
}

// A kafkaProcess is a broker that can be started more than once.
type kafkaProcess struct {
	home, dir string
	settings  []string
	ports     [3]int   // for clients, for the proxy, for the controller
	releases  []func() // of the ports
	proxy     *Proxy
	process   *process // nil before the first start
}

// newKafka prepares a broker. The caller must close it.
func newKafka(home, dir string, settings []string) (*kafkaProcess, error) {
	p := &kafkaProcess{home: home, dir: dir, settings: settings}
	for i := range p.ports {
		port, release, err := freeport.Take()
		if err != nil {
			return nil, err
		}
		p.ports[i], p.releases = port, append(p.releases, release)
	}
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(home, "data"))); err != nil {
		return nil, err
	}
	var err error
	if p.proxy, err = newProxy(); err != nil {
		return nil, err
	}
	p.proxy.start(fmt.Sprintf("127.0.0.1:%d", p.ports[1]))
	return p, nil
}

func (p *kafkaProcess) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.ports[0]) }

func (p *kafkaProcess) start() error {
	config := filepath.Join(p.dir, "server.properties")
	if err := os.WriteFile(config, []byte(p.properties()), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Tests are short, so the heap is small and only the fast compiler is used.
	cmd := exec.Command("java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(p.home, "libs", "*"), "kafka.Kafka", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	if p.process, err = launch(cmd); err != nil {
		return err
	}
	if err := p.awaitAnswer(); err != nil {
		p.process.kill()
		text, _ := os.ReadFile(filepath.Join(p.dir, "kafka.log"))
		return fmt.Errorf("kafka did not start: %w\n%s", err, text)
	}
	return nil
}

func (p *kafkaProcess) properties() string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[3]d
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:%[1]d,PROXIED://127.0.0.1:%[2]d,CONTROLLER://127.0.0.1:%[3]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d,PROXIED://%[4]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[5]s
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=0
%[6]s
`, p.ports[0], p.ports[1], p.ports[2], p.proxy.Addr(), filepath.Join(p.dir, "data"), strings.Join(p.settings, "\n"))
}

// awaitAnswer returns once the broker answers, or with an error if the process
// ends or takes too long.
func (p *kafkaProcess) awaitAnswer() error {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	return p.process.await(kafkaTimeout, client.Ping)
}

func (p *kafkaProcess) close() {
	p.process.kill()
	p.proxy.close()
	for _, release := range p.releases {
		release()
	}
}
