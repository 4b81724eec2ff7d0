package session

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"
)

func registryBehind(header string, networks ...string) *Registry {
	cfg := Config{ProxyHeader: header}
	for _, n := range networks {
		cfg.Proxies = append(cfg.Proxies, netip.MustParsePrefix(n))
	}
	return &Registry{cfg: cfg.withDefaults()}
}

func TestCallerIsTheNearestAddressThatIsNoProxy(t *testing.T) {
	reg := registryBehind("", "10.0.0.0/8", "::1/128", "fe80::/10")
	for _, test := range []struct {
		remote    string
		forwarded []string
		want      string
		unnamed   string
	}{
		{"192.0.2.1:99", nil, "192.0.2.1", ""},
		{"192.0.2.1:99", []string{"198.51.100.7"}, "192.0.2.1", ""}, // not from a proxy: not believed
		{"10.1.1.1:99", []string{"198.51.100.7"}, "198.51.100.7", ""},
		{"10.1.1.1:99", []string{"1.2.3.4, 198.51.100.7", "10.2.2.2"}, "198.51.100.7", ""},
		{"[::1]:99", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::", ""},
		{"[fe80::1%eth0]:99", []string{"203.0.113.7"}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"203.0.113.7:1"}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"203.0.113.7:65535, 10.9.9.9:80"}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"[2001:db8::1]:443"}, "2001:db8::", ""},
		{"10.1.1.1:99", []string{"[2001:db8::1]"}, "2001:db8::", ""},
		{"10.1.1.1:99", []string{`"[2001:db8::1]:443"`}, "2001:db8::", ""},
		{"10.1.1.1:99", []string{`"203.0.113.7:1"`}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"::ffff:203.0.113.7"}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"[::ffff:203.0.113.7]:1"}, "203.0.113.7", ""},
		{"10.1.1.1:99", []string{"10.2.2.2"}, "10.2.2.2", ""},
		{"10.1.1.1:99", []string{"198.51.100.7,"}, "198.51.100.7", ""},
		{"10.1.1.1:99", []string{`", 198.51.100.7`}, "198.51.100.7", ""}, // the client has left a quote open
		{"10.1.1.1:99", nil, "10.1.1.1", hopMissing},
		{"10.1.1.1:99", []string{""}, "10.1.1.1", hopMissing},
		{"10.1.1.1:99", []string{" , ,", ""}, "10.1.1.1", hopMissing},
		{"10.1.1.1:99", []string{"rubbish"}, "10.1.1.1", hopUnreadable},
		{"10.1.1.1:99", []string{"unknown"}, "10.1.1.1", hopUnreadable},
		{"10.1.1.1:99", []string{"1.2.3.4, _hidden"}, "10.1.1.1", hopUnreadable}, // who wrote what stands before is unknown
		{"10.1.1.1:99", []string{"1.2.3.4, unknown, 10.2.2.2"}, "10.2.2.2", hopUnreadable},
		{"10.1.1.1:99", []string{"203.0.113.7/24"}, "10.1.1.1", hopUnreadable},
		{"10.1.1.1:99", []string{"[203.0.113.7"}, "10.1.1.1", hopUnreadable},
		{"10.1.1.1:99", []string{"[2001:db8::1]x"}, "10.1.1.1", hopUnreadable},
		{"[::ffff:192.0.2.1]:99", nil, "192.0.2.1", ""},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded, "Forwarded": {"for=1.1.1.1"}}}
		if got := reg.caller(r); got.addr.String() != test.want || got.unnamed != test.unnamed {
			t.Errorf("%s %q: got %v, %q; want %s, %q", test.remote, test.forwarded, got.addr, got.unnamed, test.want, test.unnamed)
		}
	}
	if got := reg.caller(&http.Request{RemoteAddr: "pipe"}); got.addr.IsValid() {
		t.Errorf("got %v of no address", got)
	}
}

func TestHeadersThatCannotNameClientsAreRefused(t *testing.T) {
	for name, good := range map[string]bool{
		"X-Forwarded-For": true, "x-real-ip": true, "Forwarded": true, "CF-Connecting-IP": true,
		"": false, "X Forwarded": false, "X-Forwarded-For:": false, "Host": false, "host": false,
	} {
		if err := CheckProxyHeader(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCallerInForwarded(t *testing.T) {
	reg := registryBehind("forwarded", "10.0.0.0/8")
	for _, test := range []struct {
		forwarded []string
		want      string
		unnamed   string
	}{
		{[]string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, "192.0.2.60", ""},
		{[]string{"for=192.0.2.43, for=198.51.100.17"}, "198.51.100.17", ""},
		{[]string{"for=192.0.2.43", `For = "198.51.100.17:4711" ; proto=https`, "for=10.0.0.1"}, "198.51.100.17", ""},
		{[]string{`by=10.0.0.1; for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::", ""},
		{[]string{`for="[2001:db8:cafe::17]:_port"`}, "2001:db8:cafe::", ""},
		{[]string{`for="x, for=198.51.100.17`}, "198.51.100.17", ""},           // the client has left a quote open
		{[]string{`for=", for="[2001:db8::1]"`}, "2001:db8::", ""},             // the same before a quoted element
		{[]string{`for=1.2.3.4;host="a,b", for=192.0.2.43`}, "192.0.2.43", ""}, // a comma inside quotes
		{[]string{`for=192.0.2.43;host="a,b"`}, "192.0.2.43", ""},
		// A proxy quotes a Host that the client made up.
		{[]string{`for=192.0.2.43;host="x;for=1.1.1.1"`}, "192.0.2.43", ""},
		{[]string{`host="x\";for=1.1.1.1;y=\"";for=192.0.2.43`}, "192.0.2.43", ""},
		{[]string{`for=6.6.6.6;x=", for=192.0.2.43;host="a\"b"`}, "192.0.2.43", ""},
		{[]string{`for=6.6.6.6;x="\`, `for=192.0.2.43;host="\\\"\\"`}, "192.0.2.43", ""},
		{nil, "10.1.1.1", hopMissing},
		{[]string{"for=unknown"}, "10.1.1.1", hopUnreadable},
		{[]string{`for="_gazonk"`}, "10.1.1.1", hopUnreadable},
		{[]string{"proto=https"}, "10.1.1.1", hopUnreadable},
		{[]string{"for=1.2.3.4;for=5.6.7.8"}, "10.1.1.1", hopUnreadable},
		{[]string{"192.0.2.43"}, "10.1.1.1", hopUnreadable},
	} {
		r := &http.Request{RemoteAddr: "10.1.1.1:99", Header: http.Header{"Forwarded": test.forwarded, "X-Forwarded-For": {"1.1.1.1"}}}
		if got := reg.caller(r); got.addr.String() != test.want || got.unnamed != test.unnamed {
			t.Errorf("%q: got %v, %q; want %s, %q", test.forwarded, got.addr, got.unnamed, test.want, test.unnamed)
		}
	}
}

func TestASchemeIsBelievedFromProxiesAlone(t *testing.T) {
	for _, test := range []struct {
		header, remote string
		given          http.Header
		want           bool
	}{
		{"", "10.1.1.1:9", http.Header{"X-Forwarded-Proto": {"https"}}, true},
		{"", "10.1.1.1:9", http.Header{"X-Forwarded-Proto": {"http, HTTPS"}}, true},
		{"", "10.1.1.1:9", http.Header{"X-Forwarded-Proto": {"wss"}}, true},
		{"", "10.1.1.1:9", http.Header{"X-Forwarded-Proto": {"https, http"}}, false},
		{"", "10.1.1.1:9", http.Header{"Forwarded": {"proto=https"}}, false},
		{"", "10.1.1.1:9", nil, false},
		{"", "192.0.2.1:9", http.Header{"X-Forwarded-Proto": {"https"}}, false},
		{"Forwarded", "10.1.1.1:9", http.Header{"Forwarded": {`for=1.2.3.4;proto=http, for=1.2.3.4;Proto="https"`}}, true},
		{"Forwarded", "10.1.1.1:9", http.Header{"X-Forwarded-Proto": {"https"}}, false},
	} {
		reg := registryBehind(test.header, "10.0.0.0/8")
		if got := reg.overTLS(&http.Request{RemoteAddr: test.remote, Header: test.given}); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	if !registryBehind("").overTLS(&http.Request{RemoteAddr: "192.0.2.1:9", TLS: &tls.ConnectionState{}}) {
		t.Error("a connection of TLS is none")
	}
}

func FuzzCaller(f *testing.F) {
	f.Add(`for="[2001:db8::1]:1", for=_x`, "1.2.3.4:5, [::1]")
	f.Add(`",;=`, "]:[")
	plain, standard := registryBehind("", "10.0.0.0/8"), registryBehind("Forwarded", "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, forwarded, list string) {
		// A proxy adds its client's address at the end. Nothing that the client has
		// written before it may change how it is read.
		r := &http.Request{RemoteAddr: "10.1.1.1:99", Header: http.Header{
			"Forwarded":       {forwarded, `for="[2001:db8::1]:443";proto=https`},
			"X-Forwarded-For": {list + ", 198.51.100.7:1"},
		}}
		if got := plain.caller(r).addr.String(); got != "198.51.100.7" {
			t.Errorf("%q: %s", list, got)
		}
		if got := standard.caller(r).addr.String(); got != "2001:db8::" || !standard.overTLS(r) {
			t.Errorf("%q: %s", forwarded, got)
		}
	})
}
