package dsn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
)

// TLS returns how to encrypt, or nil for not at all, from the parameters
//
//	tls               true: encrypt; the other parameters imply it
//	tls_ca            file with the authorities to trust, PEM
//	tls_cert, tls_key files with the certificate to show and its key, PEM
//	tls_server_name   the name to expect in the server's certificate
//	tls_skip_verify   true: accept any certificate
//
// The files are read again for each connection: see [TLS.Config].
func (p *Params) TLS() *TLS { return p.readTLS("") }

// SchemeTLS is [Params.TLS] for a URL whose scheme says itself whether to encrypt,
// as rediss:// does beside redis://. If secure, the parameter tls is not needed,
// and tls=false is a fault.
func (p *Params) SchemeTLS(scheme string, secure bool) *TLS {
	if !secure {
		return p.TLS()
	}
	return p.readTLS(scheme)
}

// readTLS reads the parameters. A scheme, if one is given, demands encryption.
func (p *Params) readTLS(scheme string) *TLS {
	t := &TLS{ca: p.String("tls_ca", ""), cert: p.String("tls_cert", ""), key: p.String("tls_key", "")}
	t.name, t.skip = p.String("tls_server_name", ""), p.Bool("tls_skip_verify", false)
	details := t.ca+t.cert+t.key+t.name != "" || t.skip
	switch on := p.Bool("tls", details || scheme != ""); {
	case on:
	case scheme != "":
		p.fault("tls=false: %s:// means TLS", scheme)
		return nil
	case details:
		p.fault("tls=false contradicts the other tls parameters: leave one or the other out")
		return nil
	default:
		return nil
	}
	if _, err := t.Config(); err != nil {
		p.faults = append(p.faults, err)
	}
	return t
}

// A TLS says how to encrypt connections. It is safe for concurrent use.
type TLS struct {
	ca, cert, key string // files; "" for none
	name          string // to expect in the server's certificate; "" for the host's
	skip          bool   // accept any certificate

	mu     sync.Mutex
	read   [][]byte    // what the files had when config was made of them; guarded by mu
	config *tls.Config // nil until the files could be used; guarded by mu
}

// Config returns the configuration of the next connection, which must not be changed. It
// reads the files, so that a certificate or an authority can be replaced while a process
// runs. If they cannot be used as they are now, because a certificate has been replaced and
// its key not yet, for example, Config returns an error, and the configuration from the
// last time that they could be used.
func (t *TLS) Config() (*tls.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	read, err := t.readFiles()
	if err != nil || t.config != nil && slices.EqualFunc(read, t.read, slices.Equal[[]byte]) {
		return t.config, err
	}
	config, err := t.newConfig(read)
	if err == nil {
		t.config, t.read = config, read
	}
	return t.config, err
}

// readFiles reads the files: that of the authorities, the certificate and its key. It
// returns nil for those that are not given.
func (t *TLS) readFiles() (read [][]byte, err error) {
	param := [...]string{"tls_ca", "tls_cert", "tls_key"}
	var faults []error
	for i, file := range []string{t.ca, t.cert, t.key} {
		var content []byte
		if file != "" {
			if content, err = os.ReadFile(file); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", param[i], err))
			}
		}
		read = append(read, content)
	}
	return read, errors.Join(faults...)
}

// newConfig makes a configuration of what readFiles has read.
func (t *TLS) newConfig(read [][]byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.name, InsecureSkipVerify: t.skip}
	if t.ca != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(read[0]) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", t.ca)
		}
	}
	if t.cert+t.key != "" {
		pair, err := tls.X509KeyPair(read[1], read[2])
		if err != nil {
			return nil, fmt.Errorf("tls_cert and tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// DialContext connects to an address, including the handshake, within the context's time.
func (t *TLS) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	plain, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c, unusable := t.Config()
	if c.ServerName == "" {
		c = c.Clone()
		c.ServerName, _, _ = net.SplitHostPort(addr)
	}
	conn := tls.Client(plain, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, WithUnusable(handshakeError(addr, err), unusable)
	}
	return conn, nil
}

// handshakeError says if it seems that a server does not speak TLS. Redis does not answer
// what it does not understand, but waits for its end.
func handshakeError(addr string, err error) error {
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Errorf("%s does not speak TLS: %w", addr, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s does not answer, or does not speak TLS: %w", addr, err)
	}
	return err
}

// WithUnusable adds the error of [TLS.Config], if there is one, to that of a connection
// which failed with the configuration that Config has returned.
func WithUnusable(err, unusable error) error {
	if unusable == nil {
		return err
	}
	return fmt.Errorf("%w (with the files as they were, for as they are they cannot be used: %w)", err, unusable)
}
