package dsn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS returns how to encrypt, or nil for not at all, from the parameters
//
//	tls               true: encrypt; the other parameters imply it
//	tls_ca            file with the authorities to trust, PEM
//	tls_cert, tls_key files with the certificate to show and its key, PEM
//	tls_server_name   the name to expect in the server's certificate
//	tls_skip_verify   true: accept any certificate
func (p *Params) TLS() *tls.Config { return p.readTLS("") }

// SchemeTLS is [Params.TLS] for a URL whose scheme says itself whether to encrypt,
// as rediss:// does beside redis://. If secure, the parameter tls is not needed,
// and tls=false is a fault.
func (p *Params) SchemeTLS(scheme string, secure bool) *tls.Config {
	if !secure {
		return p.TLS()
	}
	return p.readTLS(scheme)
}

// readTLS reads the parameters. A scheme, if one is given, demands encryption.
func (p *Params) readTLS(scheme string) *tls.Config {
	ca, cert, key := p.String("tls_ca", ""), p.String("tls_cert", ""), p.String("tls_key", "")
	name, skip := p.String("tls_server_name", ""), p.Bool("tls_skip_verify", false)
	details := ca+cert+key+name != "" || skip
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
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, InsecureSkipVerify: skip}
	if ca != "" {
		var err error
		if c.RootCAs, err = readAuthorities(ca); err != nil {
			p.faults = append(p.faults, fmt.Errorf("tls_ca: %w", err))
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			p.faults = append(p.faults, fmt.Errorf("tls_cert and tls_key: %w", err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

func readAuthorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate in PEM form")
	}
	return pool, nil
}
