package dsn_test

import (
	"crypto/tls"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Files that are replaced count from the next connection on. While they cannot be used,
// the last ones that could be do.
func TestCertificatesAreReadAgain(t *testing.T) {
	files, authority := driverkit.FilesIn(t.TempDir()), driverkit.NewAuthority(t)
	write := func() {
		t.Helper()
		authority.Write(files, time.Now().Add(time.Hour))
	}
	write()
	params := dsn.NewParams(&url.URL{RawQuery: "tls_ca=" + files.CA + "&tls_cert=" + files.Cert + "&tls_key=" + files.Key})
	encrypt := params.TLS()
	if err := params.Err(); err != nil {
		t.Fatal(err)
	}
	config := func(want string) *tls.Config {
		t.Helper()
		c, err := encrypt.Config()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
		return c
	}
	first := config("")
	if config("") != first {
		t.Error("the same files make another configuration")
	}
	write()
	second := config("")
	if string(second.Certificates[0].Certificate[0]) == string(first.Certificates[0].Certificate[0]) {
		t.Error("the new certificate is not shown")
	}
	for file, want := range map[string]string{files.Cert: "tls_cert and tls_key", files.Key: "tls_cert and tls_key", files.CA: "tls_ca"} {
		driverkit.WriteFile(t, file, "half of it")
		if config(want) != second {
			t.Errorf("%s: another configuration", want)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if config("no such file") != second {
			t.Errorf("%s: another configuration", want)
		}
		write()
		second = config("")
	}
	old, err := os.ReadFile(files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	write()
	driverkit.WriteFile(t, files.Cert, string(old)) // so only the key is new
	if config("tls_cert and tls_key") != second {
		t.Error("a key that is not the certificate's makes another configuration")
	}
}
