package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

const (
	defaultPort = "9092"
	// maxReply bounds one answer of a broker in bytes: a fetch, and one batch
	// that is larger than what was asked for.
	maxReply = 64 << 20
	// maxInflated bounds what one compressed batch may grow to.
	maxInflated = 64 << 20
)

// A server says where a cluster is and how to enter. It is safe for concurrent
// use and holds no connection.
type server struct {
	seeds    []string
	clientID string
	sasl     sasl.Mechanism // nil: nobody logs in
	tls      *tls.Config    // nil: plain TCP
	dial     time.Duration
	reply    time.Duration
	acks     kgo.Acks
	all      bool // acks are all in-sync replicas'
}

// parseServer reads the hosts, the user and the parameters for connecting.
func parseServer(u *url.URL, params *dsn.Params) (*server, error) {
	s := &server{
		clientID: params.String("client_id", "fanfare"),
		dial:     params.Timeout("dial_timeout", 3*time.Second, 10*time.Millisecond),
		reply:    params.Timeout("reply_timeout", 2*time.Second, 100*time.Millisecond),
		tls:      params.TLS(),
	}
	var faults [4]error
	s.seeds, faults[0] = parseSeeds(u.Host)
	s.sasl, faults[1] = parseSASL(u.User, params.String("sasl", ""))
	acks := params.String("acks", "all")
	s.acks, faults[2] = parseAcks(acks)
	s.all = acks == "all"
	if u.Path != "" && u.Path != "/" {
		faults[3] = fmt.Errorf("path %q: want none", u.Path)
	}
	return s, errors.Join(faults[:]...)
}

func parseSeeds(hosts string) ([]string, error) {
	all := strings.Split(hosts, ",")
	for i, h := range all {
		if h == "" || h[0] == ':' {
			return nil, errors.New("the URL names no host: want host:port, or several with commas between them")
		}
		if _, port, err := net.SplitHostPort(h); err != nil || port == "" {
			h = strings.TrimSuffix(h, ":")
			all[i] = net.JoinHostPort(strings.Trim(h, "[]"), defaultPort)
		}
	}
	return all, nil
}

func parseSASL(user *url.Userinfo, mechanism string) (sasl.Mechanism, error) {
	if user == nil {
		if mechanism != "" {
			return nil, errors.New("sasl needs a user: kafka://user:password@host:port")
		}
		return nil, nil
	}
	name := user.Username()
	password, _ := user.Password()
	switch mechanism {
	case "", "plain":
		return plain.Auth{User: name, Pass: password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: name, Pass: password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: name, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("sasl=%s: want plain, scram-sha-256 or scram-sha-512", mechanism)
}

func parseAcks(name string) (kgo.Acks, error) {
	switch name {
	case "all":
		return kgo.AllISRAcks(), nil
	case "leader":
		return kgo.LeaderAck(), nil
	}
	return kgo.Acks{}, fmt.Errorf("acks=%s: want all or leader", name)
}

// client makes a client that knows the given brokers. It does not connect yet,
// and tries little by itself: who uses it knows better when to try again.
func (s *server) client(seeds []string, more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(s.clientID),
		kgo.SoftwareNameAndVersion("fanfare", "1"),
		kgo.DialTimeout(s.dial),
		kgo.RequestTimeoutOverhead(s.reply),
		kgo.RequestRetries(2),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.BrokerMaxReadBytes(maxReply),
		kgo.MaxDecompressBatchBytes(maxInflated),
		kgo.DisableClientMetrics(),
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(s.acks),
	}
	if s.tls != nil {
		opts = append(opts, kgo.DialTLSConfig(s.tls))
	}
	if s.sasl != nil {
		opts = append(opts, kgo.SASL(s.sasl))
	}
	return kgo.NewClient(append(opts, more...)...)
}
