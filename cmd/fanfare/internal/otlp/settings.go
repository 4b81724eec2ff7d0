package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Settings are what the environment says about where spans go.
type settings struct {
	endpoint string
	host     string // of the endpoint, for logs: the rest may be secret
	header   http.Header
	timeout  time.Duration // of one request
	gzip     bool
	tls      *tls.Config // nil: as usual
}

const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
	tracesPath      = "v1/traces" // below OTEL_EXPORTER_OTLP_ENDPOINT
)

// isOn reports whether the environment asks for traces: it names an exporter or an endpoint.
// An error says what it asks for that is not there.
func isOn() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
			os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	case "otlp":
		return true, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: want otlp or none, got %q", exporter)
	}
}

// variable returns a variable of the exporter and its name: the one for traces alone, or else
// the one for all signals. An empty one is as if it were not set.
func variable(name string) (value, full string) {
	full = "OTEL_EXPORTER_OTLP_TRACES_" + name
	if value = os.Getenv(full); value == "" {
		full = "OTEL_EXPORTER_OTLP_" + name
		value = os.Getenv(full)
	}
	return strings.TrimSpace(value), full
}

// readSettings reads the environment. The error names everything that is wrong.
func readSettings() (s settings, err error) {
	var wrong [5]error
	if protocol, name := variable("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		wrong[0] = fmt.Errorf("%s: want http/protobuf (most collectors listen for it on port 4318), got %q",
			name, protocol)
	}
	s.endpoint, s.host, wrong[1] = endpoint()
	s.timeout, wrong[2] = timeout()
	s.header, wrong[3] = header()
	s.tls, wrong[4] = certificates()
	switch compression, name := variable("COMPRESSION"); compression {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		err = fmt.Errorf("%s: want gzip or none, got %q", name, compression)
	}
	return s, errors.Join(append(wrong[:], err)...)
}

// endpoint returns the URL to post to, and its host. The one for traces alone is taken as it
// is.
func endpoint() (text, host string, err error) {
	const alone = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	text, name := variable("ENDPOINT")
	if text == "" {
		text = defaultEndpoint
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The text may hold a password.
		return "", "", fmt.Errorf("%s: want a URL that begins with http:// or https://", name)
	}
	if name != alone {
		u = u.JoinPath(tracesPath)
	}
	return u.String(), u.Host, nil
}

func timeout() (time.Duration, error) {
	text, name := variable("TIMEOUT")
	if text == "" {
		return defaultTimeout, nil
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil || ms == 0 {
		return 0, fmt.Errorf("%s: want milliseconds, 1 or more, got %q", name, text)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// header reads a list of names and values, whose values are escaped as in a URL.
func header() (http.Header, error) {
	text, name := variable("HEADERS")
	all := http.Header{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		key = strings.TrimSpace(key)
		if !found || err != nil || !isToken(key) || strings.ContainsAny(value, "\r\n\x00") {
			// The value may be a secret.
			return nil, fmt.Errorf("%s: want name=value,… with %%XX for special characters in values", name)
		}
		all.Set(key, value)
	}
	return all, nil
}

// isToken reports whether s can be the name of a header ([RFC 9110 §5.6.2]).
//
// [RFC 9110 §5.6.2]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// certificates reads whom to trust and how to show who this is; nil if that is as usual.
func certificates() (*tls.Config, error) {
	trusted, trustedName := variable("CERTIFICATE")
	cert, certName := variable("CLIENT_CERTIFICATE")
	key, keyName := variable("CLIENT_KEY")
	if trusted == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if trusted != "" {
		pem, err := os.ReadFile(trusted)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trustedName, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: there is no certificate in PEM form in %s", trustedName, trusted)
		}
	}
	if cert == "" && key == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certName, keyName, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
