package redisconn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
	"github.com/fanfarebus/fanfare/test/freeport"
)

// A tlsServer is a Redis that wants a certificate of its clients. Tests change it through
// its plain port.
type tlsServer struct {
	*broker.RedisServer
	t     *testing.T
	port  int
	files driverkit.Files
}

func newTLSServer(t *testing.T, authority *driverkit.Authority) *tlsServer {
	t.Helper()
	s := &tlsServer{t: t, port: freeport.Port(t), files: driverkit.FilesIn(t.TempDir())}
	authority.Write(s.files, time.Now().Add(time.Hour))
	s.RedisServer = broker.Redis(t, "--tls-port", fmt.Sprint(s.port), "--tls-auth-clients", "yes",
		"--tls-ca-cert-file", s.files.CA, "--tls-cert-file", s.files.Cert, "--tls-key-file", s.files.Key)
	return s
}

// follow has the server change to another authority, and to a certificate of it.
func (s *tlsServer) follow(authority *driverkit.Authority) {
	s.t.Helper()
	authority.Write(s.files, time.Now().Add(time.Hour))
	if got := s.CLI("CONFIG", "SET", "tls-ca-cert-file", s.files.CA, "tls-cert-file", s.files.Cert,
		"tls-key-file", s.files.Key); got != "OK" {
		s.t.Fatal(got)
	}
}

func (s *tlsServer) url(f driverkit.Files) string {
	return fmt.Sprintf("rediss://127.0.0.1:%d?tls_ca=%s&tls_cert=%s&tls_key=%s", s.port, f.CA, f.Cert, f.Key)
}

// A server whose clients must show a certificate takes one that its authority has signed
// and that is still valid, and no other.
func TestClientsShowACertificate(t *testing.T) {
	ours, theirs := driverkit.NewAuthority(t), driverkit.NewAuthority(t)
	s := newTLSServer(t, ours)
	good, foreign, expired := driverkit.FilesIn(t.TempDir()), driverkit.FilesIn(t.TempDir()), driverkit.FilesIn(t.TempDir())
	ours.Write(good, time.Now().Add(time.Hour))
	theirs.Write(foreign, time.Now().Add(time.Hour))
	ours.Write(expired, time.Now().Add(-time.Minute))
	if err := works(t, s.url(good)); err != nil {
		t.Error(err)
	}
	for name, files := range map[string]driverkit.Files{
		"another authority": {CA: good.CA, Cert: foreign.Cert, Key: foreign.Key},
		"expired":           {CA: good.CA, Cert: expired.Cert, Key: expired.Key},
		"a server that another authority has signed": {CA: foreign.CA, Cert: good.Cert, Key: good.Key},
	} {
		// With TLS 1.3 the server may also just reset the connection.
		if err := works(t, s.url(files)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAPortWithoutTLSIsNamed(t *testing.T) {
	s := broker.Redis(t)
	err := works(t, "rediss://"+s.Addr()+"?dial_timeout=300ms")
	if err == nil || !strings.Contains(err.Error(), s.Addr()+" does not answer, or does not speak TLS") {
		t.Error(err)
	}
}

// All certificates, and the authorities that have signed them, can be replaced without a
// restart: new connections use what the files have.
func TestCertificatesAreReplaced(t *testing.T) {
	authority, files := driverkit.NewAuthority(t), driverkit.FilesIn(t.TempDir())
	s := newTLSServer(t, authority)
	authority.Write(files, time.Now().Add(time.Hour))
	server, err := parse(s.url(files))
	if err != nil {
		t.Fatal(err)
	}
	dial := func() error {
		conn, err := server.Dial(t.Context())
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.Queue("PING")
		if err := conn.Flush(); err != nil {
			return err
		}
		_, err = conn.Text()
		return err
	}
	for range 2 {
		if err := dial(); err != nil {
			t.Fatal(err)
		}
		authority = driverkit.NewAuthority(t)
		s.follow(authority)
		if err := dial(); err == nil {
			t.Error("a server of an unknown authority is trusted")
		}
		authority.Write(files, time.Now().Add(time.Hour))
	}
	if err := dial(); err != nil {
		t.Fatal(err)
	}
	driverkit.WriteFile(t, files.Key, "not yet")
	if err := dial(); err != nil {
		t.Errorf("while a file cannot be used: %v", err)
	}
	s.follow(driverkit.NewAuthority(t))
	if err := dial(); err == nil || !strings.Contains(err.Error(), "cannot be used: tls_cert and tls_key") {
		t.Errorf("nobody says that a file cannot be used: %v", err)
	}
}
