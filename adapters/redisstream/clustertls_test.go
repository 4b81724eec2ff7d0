package redisstream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// A cluster that wants TLS and certificates of its clients names its servers by the ports
// that speak TLS, and each is reached with the URL's certificates.
func TestAClusterWithTLS(t *testing.T) {
	t.Parallel()
	authority, files := driverkit.NewAuthority(t), driverkit.FilesIn(t.TempDir())
	authority.Write(files, time.Now().Add(time.Hour))
	c := broker.NewRedisCluster(t, 3, "--tls-port", "FREE_PORT", "--tls-cluster", "yes", "--tls-replication", "yes",
		"--tls-ca-cert-file", files.CA, "--tls-cert-file", files.Cert, "--tls-key-file", files.Key)
	d := open(t, fmt.Sprintf("rediss-streams://%s/0?cluster=true&tls_ca=%s&tls_cert=%s&tls_key=%s",
		c.Servers()[0].TLSAddr(), files.CA, files.Cert, files.Key))
	for _, topic := range topicsOf(c, 3) {
		f := driverkit.Follow(t, d, topic, "")
		driverkit.Publish(t, d, topic, driverkit.Raw(topic))
		if got := driverkit.Bodies(driverkit.ReadLog(t, f, 1)); got[0] != topic {
			t.Errorf("got %v", got)
		}
	}
}
