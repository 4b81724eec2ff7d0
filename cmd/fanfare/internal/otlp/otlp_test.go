package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// environment sets the variables of OpenTelemetry, and no others of theirs.
func environment(t *testing.T, all map[string]string) {
	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "") // an empty one is as if it were not there
		}
	}
	for name, value := range all {
		t.Setenv(name, value)
	}
}

func TestTracingIsOffUnlessTheEnvironmentAsksForIt(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		on   bool
		want string // of the error
	}{
		"nothing":             {nil, false, ""},
		"a name alone":        {map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, false, ""},
		"an exporter":         {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"an endpoint":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, true, ""},
		"one for traces":      {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/x"}, true, ""},
		"one for metrics":     {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/x"}, false, ""},
		"none":                {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, false, ""},
		"disabled":            {map[string]string{"OTEL_SDK_DISABLED": "True", "OTEL_TRACES_EXPORTER": "otlp"}, false, ""},
		"not disabled":        {map[string]string{"OTEL_SDK_DISABLED": "1", "OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"another exporter":    {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER: want otlp or none"},
		"gRPC":                {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL: want http/protobuf"},
		"no URL":              {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "user:secret@c:4318"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT: want a URL"},
		"no time":             {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1s"}, false, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: want milliseconds"},
		"no header":           {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, false, "OTEL_EXPORTER_OTLP_HEADERS: want name=value"},
		"a header too many":   {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=secret%0d%0ab:c"}, false, "OTEL_EXPORTER_OTLP_HEADERS: want name=value"},
		"no compression":      {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, false, "OTEL_EXPORTER_OTLP_COMPRESSION: want gzip or none"},
		"no certificate":      {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"}, false, "OTEL_EXPORTER_OTLP_CERTIFICATE: open /nowhere.pem"},
		"no certificates":     {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nowhere.pem"}, false, "CLIENT_CERTIFICATE and "},
		"an empty variable":   {map[string]string{"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, false, ""},
		"an empty setting":    {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": ""}, true, ""},
		"several things":      {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "0", "OTEL_EXPORTER_OTLP_COMPRESSION": "x"}, false, "TIMEOUT"},
		"a proper kind of it": {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, tt.env)
			p, err := New("v1", "n1", slog.New(slog.DiscardHandler))
			if (p != nil) != tt.on || (err != nil) != (tt.want != "") {
				t.Fatalf("on is %t, error %v", p != nil, err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if p != nil && p.Shutdown(t.Context()) != nil {
				t.Error("it does not end")
			}
		})
	}
}

func TestSettings(t *testing.T) {
	environment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example/otel/", "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS": " api-key = a%20b%2C%3D , x=y=z ,", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500",
	})
	s, err := readSettings()
	if err != nil || s.endpoint != "https://collector.example/otel/v1/traces" || s.timeout != 1500*time.Millisecond ||
		s.header.Get("Api-Key") != "a b,=" || s.header.Get("X") != "y=z" || len(s.header) != 2 || s.host != "collector.example" {
		t.Errorf("got %+v, %v", s, err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other:1/here")
	if s, err = readSettings(); err != nil || s.endpoint != "http://other:1/here" {
		t.Errorf("got %+v, %v", s, err)
	}
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": ""})
	if s, err = readSettings(); err != nil || s.endpoint != "http://localhost:4318/v1/traces" || s.timeout != 10*time.Second {
		t.Errorf("got %+v, %v", s, err)
	}
}

// A collector answers what it is told to, and keeps what it was sent.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []func(http.ResponseWriter) // one after the other; then 200
	requests []*http.Request
	bodies   [][]byte
}

func newCollector(t *testing.T, start func(*httptest.Server), answers ...func(http.ResponseWriter)) *collector {
	c := &collector{answers: answers}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	start(c.Server)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.bodies = append(c.requests, r), append(c.bodies, body)
	if len(c.answers) > 0 {
		answer := c.answers[0]
		c.answers = c.answers[1:]
		answer(w)
	}
}

func (c *collector) got() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

var aSpan = []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "s"}}}}}}

// upload posts a span with a short pause before it tries again.
func upload(t *testing.T, s settings) error {
	if s.timeout == 0 {
		s.timeout = time.Minute
	}
	c := newClient(s, "v1")
	c.pause = time.Millisecond
	defer c.Stop(t.Context())
	return c.UploadTraces(t.Context(), aSpan)
}

func TestUpload(t *testing.T) {
	partial := func(spans uint64, why string) func(http.ResponseWriter) {
		inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), spans)
		inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), why)
		answer := protowire.AppendFixed32(protowire.AppendTag(nil, 9, protowire.Fixed32Type), 7) // of a later version
		answer = protowire.AppendBytes(protowire.AppendTag(answer, 1, protowire.BytesType), inner)
		return func(w http.ResponseWriter) { _, _ = w.Write(answer) }
	}
	for name, tt := range map[string]struct {
		answers  []func(http.ResponseWriter)
		requests int
		want     string
	}{
		"taken":               {nil, 1, ""},
		"taken with a remark": {[]func(http.ResponseWriter){partial(0, "you are old")}, 1, ""},
		"rejected in part":    {[]func(http.ResponseWriter){partial(3, "too long")}, 1, `rejected 3 spans: "too long"`},
		"not protobuf":        {[]func(http.ResponseWriter){func(w http.ResponseWriter) { _, _ = w.Write([]byte("\xff\xff")) }}, 1, ""},
		"busy for a while":    {[]func(http.ResponseWriter){status(429), status(502), status(503), status(504)}, 5, ""},
		"bad for good":        {[]func(http.ResponseWriter){status(503), status(400)}, 2, "400"},
		"not the right key":   {[]func(http.ResponseWriter){status(401)}, 1, "401"},
		"a redirect":          {[]func(http.ResponseWriter){func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(307) }}, 1, "307"},
		"gone in between":     {[]func(http.ResponseWriter){func(http.ResponseWriter) { panic(http.ErrAbortHandler) }}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t, (*httptest.Server).Start, tt.answers...)
			err := upload(t, settings{endpoint: c.URL + "/v1/traces", header: http.Header{"Api-Key": {"secret"}}})
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if c.got() != tt.requests {
				t.Errorf("%d requests, want %d", c.got(), tt.requests)
			}
			for i, r := range c.requests {
				var sent tracepb.TracesData
				if err := proto.Unmarshal(c.bodies[i], &sent); err != nil || sent.ResourceSpans[0].ScopeSpans[0].Spans[0].Name != "s" {
					t.Errorf("request %d: %v, %v", i, &sent, err)
				}
				if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Api-Key") != "secret" ||
					r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("User-Agent") != "fanfare/v1" {
					t.Errorf("request %d: %s %s %v", i, r.Method, r.URL, r.Header)
				}
			}
		})
	}
}

func TestUploadPacked(t *testing.T) {
	c := newCollector(t, (*httptest.Server).Start, status(503))
	if err := upload(t, settings{endpoint: c.URL, gzip: true}); err != nil {
		t.Fatal(err)
	}
	for i, r := range c.requests {
		in, err := gzip.NewReader(bytes.NewReader(c.bodies[i]))
		if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("request %d: %v, %v", i, r.Header, err)
		}
		body, err := io.ReadAll(in)
		var sent tracepb.TracesData
		if err != nil || proto.Unmarshal(body, &sent) != nil || len(sent.ResourceSpans) != 1 {
			t.Errorf("request %d: %v, %v", i, &sent, err)
		}
	}
}

func TestUploadByTLS(t *testing.T) {
	asks := func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}; s.StartTLS() }
	c := newCollector(t, asks)
	dir := t.TempDir()
	file := func(name, kind string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := file("cert.pem", "CERTIFICATE", c.Certificate().Raw)
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL})
	unknown, err := readSettings()
	if err != nil {
		t.Fatal(err)
	}
	unknown.timeout = time.Minute
	if err := newClient(unknown, "v1").post(t.Context(), nil); err == nil || c.got() != 0 {
		t.Fatalf("a collector that nobody knows is trusted: %v", err)
	}
	key, err := keyOf(c.Server)
	if err != nil {
		t.Fatal(err)
	}
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_EXPORTER_OTLP_CERTIFICATE": cert,
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY": file("key.pem", "PRIVATE KEY", key)})
	s, err := readSettings()
	if err != nil {
		t.Fatal(err)
	}
	if err := upload(t, s); err != nil || c.got() != 1 || len(c.requests[0].TLS.PeerCertificates) != 1 {
		t.Errorf("%d requests, %v", c.got(), err)
	}
}

// An upload ends with its context, and says why it had no success and not with which key.
func TestUploadThatNobodyTakes(t *testing.T) {
	c := newCollector(t, (*httptest.Server).Start)
	c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	client := newClient(settings{endpoint: c.URL + "/?key=secret", timeout: time.Minute}, "v1")
	client.pause = time.Hour
	ended := make(chan error, 1)
	go func() { ended <- client.UploadTraces(ctx, aSpan) }()
	cancel()
	if err := <-ended; err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// What the provider could not send is logged, and what it was about is in what it sends.
func TestProvider(t *testing.T) {
	c := newCollector(t, (*httptest.Server).Start, status(400))
	environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "parentbased_always_on"})
	var log strings.Builder
	p, err := New("v1", "n1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	end := func() {
		_, span := p.Tracer("x").Start(t.Context(), "y")
		span.End()
		if err := p.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	end()
	if !strings.Contains(log.String(), "spans=1") || !strings.Contains(log.String(), "400") {
		t.Errorf("the log is %s", log.String())
	}
	end()
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sent tracepb.TracesData
	if err := proto.Unmarshal(c.bodies[1], &sent); err != nil {
		t.Fatal(err)
	}
	about := map[string]string{}
	for _, a := range sent.ResourceSpans[0].Resource.Attributes {
		about[a.Key] = a.Value.GetStringValue()
	}
	if about["service.name"] != "shop" || about["service.version"] != "v1" || about["service.instance.id"] != "n1" || c.got() != 2 {
		t.Errorf("%d requests, about %v", c.got(), about)
	}
}

var _ sdktrace.SpanExporter = (*exporter)(nil)

// keyOf returns the private key of a server for tests.
func keyOf(s *httptest.Server) ([]byte, error) {
	return x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
}
