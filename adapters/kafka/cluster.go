package kafka

import (
	"context"
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
	// maxReply bounds one answer of a broker, in bytes. The largest are those to fetches,
	// with a batch that is larger than what was asked for.
	maxReply = 64 << 20
	// maxInflated bounds a batch after decompression, in bytes.
	maxInflated = 64 << 20
)

// A cluster says where a Kafka cluster is and how to log in. It holds no connection, and
// is safe for concurrent use.
type cluster struct {
	seeds        []string
	clientID     string
	sasl         sasl.Mechanism // nil: no login
	tls          *dsn.TLS       // nil: plain TCP
	dialTimeout  time.Duration
	replyTimeout time.Duration
	acks         kgo.Acks
	allAcks      bool // acks are those of all in-sync replicas
}

// parseCluster reads the hosts, the user and the parameters for connecting.
func parseCluster(u *url.URL, params *dsn.Params) (*cluster, error) {
	c := &cluster{
		clientID:     params.String("client_id", "fanfare"),
		dialTimeout:  params.Timeout("dial_timeout", 3*time.Second, 10*time.Millisecond),
		replyTimeout: params.Timeout("reply_timeout", 2*time.Second, 100*time.Millisecond),
		tls:          params.TLS(),
	}
	var faults [4]error
	c.seeds, faults[0] = parseSeeds(u.Host)
	c.sasl, faults[1] = parseSASL(u.User, params.String("sasl", ""))
	acks := params.String("acks", "all")
	c.acks, faults[2] = parseAcks(acks)
	c.allAcks = acks == "all"
	if u.Path != "" && u.Path != "/" {
		faults[3] = fmt.Errorf("path %q: want none", u.Path)
	}
	return c, errors.Join(faults[:]...)
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

// newClient makes a client that knows the given brokers. It connects when it is first
// used. It retries little, since its users know better when to try again.
func (c *cluster) newClient(seeds []string, more ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(c.clientID),
		kgo.SoftwareNameAndVersion("fanfare", "1"),
		kgo.DialTimeout(c.dialTimeout),
		kgo.RequestTimeoutOverhead(c.replyTimeout),
		kgo.RequestRetries(2),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.BrokerMaxReadBytes(maxReply),
		kgo.MaxDecompressBatchBytes(maxInflated),
		kgo.DisableClientMetrics(),
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(c.acks),
	}
	if c.tls != nil {
		opts = append(opts, kgo.Dialer(c.dialTLS))
	}
	if c.sasl != nil {
		opts = append(opts, kgo.SASL(c.sasl))
	}
	return kgo.NewClient(append(opts, more...)...)
}

// dialTLS connects to a broker, including the handshake, within the dial timeout.
func (c *cluster) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.dialTimeout)
	defer cancel()
	return c.tls.DialContext(ctx, network, addr)
}
