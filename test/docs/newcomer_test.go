package docs_test

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/freeport"
)

// tryIt is the section of README.md that somebody follows who has never seen Fanfare.
const tryIt = "Try it"

// Who follows README.md with a fresh clone has a message on a second device in two
// minutes. What Go has compiled before stays compiled, as on the machine of a developer.
func TestANewcomerGetsAMessageInTwoMinutes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command: left out with -short; make test runs it")
	}
	t.Parallel()
	for _, program := range []string{"bash", "curl", "git", "make"} {
		needs(t, program)
	}
	repository := cloneable(t)
	begin := time.Now()
	w := &world{dir: t.TempDir(), shims: t.TempDir(), ports: map[string]string{"8080": strconv.Itoa(freeport.Port(t))}}
	w.env = filepath.Join(w.shims, "env")
	// The address of the repository means this one, and the node's address a free one.
	w.write(t, "env", fmt.Sprintf(`export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0='url.%s.insteadOf'
export GIT_CONFIG_VALUE_0=https://github.com/fanfarebus/fanfare FANFARE_LISTEN=%s
export GIT_CONFIG_GLOBAL='%s'
`, repository, w.address("8080"), filepath.Join(os.Getenv("HOME"), ".gitconfig")))
	var devices []*output
	for i, b := range blocksOf(t, root, "README.md") {
		if b.Section != tryIt {
			continue
		}
		out := w.run(t, b)
		if i == 0 {
			w.dir = filepath.Join(w.dir, "fanfare") // where the first block goes
		}
		if strings.Contains(b.Text, "fanfare listen") {
			devices = append(devices, out)
		}
	}
	if len(devices) != 2 {
		t.Fatalf("README.md has %d devices under %q, want 2", len(devices), tryIt)
	}
	for _, d := range devices {
		d.wait(t, "a device", `"type":"order.paid"`)
	}
	took := time.Since(begin).Round(100 * time.Millisecond)
	t.Logf("from a fresh clone to a message on two devices: %v", took)
	if took > 2*time.Minute {
		t.Errorf("it took %v, more than two minutes", took)
	}
}

// cloneable returns the path of the repository, and skips the test if the sources are not
// a clone of it.
func cloneable(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "-C", path, "rev-parse", "HEAD").CombinedOutput(); err != nil {
		t.Skipf("these sources are no clone with a commit: %s", out)
	}
	return path
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The module can be installed by its path, and the command then knows its version. The
// proxy is a directory with these sources; what they need comes from what was downloaded.
func TestInstallsAsAModule(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command: left out with -short; make test runs it")
	}
	t.Parallel()
	cloneable(t) // git lists the files
	const version = "v0.999.0"
	proxy, gobin := t.TempDir(), t.TempDir()
	packModule(t, proxy, version)
	install := exec.Command("go", "install", "github.com/fanfarebus/fanfare/cmd/fanfare@latest")
	install.Dir = t.TempDir()
	install.Env = append(os.Environ(), "GOBIN="+gobin, "GOMODCACHE="+t.TempDir(), "GOSUMDB=off", "GONOPROXY=none", "GOPRIVATE=",
		"CGO_ENABLED=0", "GOFLAGS=-trimpath -modcacherw",
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download"))
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(gobin, "fanfare"), "--version").CombinedOutput()
	if err != nil || string(out) != "fanfare "+version+"\n" {
		t.Errorf("--version: %q, %v", out, err)
	}
}

// packModule writes a version of these sources as a directory that is a module proxy.
func packModule(t *testing.T, proxy, version string) {
	t.Helper()
	const module = "github.com/fanfarebus/fanfare"
	dir := filepath.Join(proxy, module, "@v")
	must(t, os.MkdirAll(dir, 0o755))
	mod, err := os.ReadFile(root + "/go.mod")
	must(t, err)
	for name, text := range map[string]string{
		"list": version + "\n", version + ".mod": string(mod),
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	file, err := os.Create(filepath.Join(dir, version+".zip"))
	must(t, err)
	defer file.Close()
	z := zip.NewWriter(file)
	listed, err := exec.Command("git", "-C", root, "ls-files", "-co", "--exclude-standard").Output()
	must(t, err)
	names := strings.Fields(string(listed))
	for _, name := range names {
		if inOtherModule(name, names) {
			continue
		}
		source, err := os.Open(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, but not committed
		}
		must(t, err)
		to, err := z.Create(module + "@" + version + "/" + name)
		must(t, err)
		_, err = io.Copy(to, source)
		must(t, err)
		source.Close()
	}
	must(t, z.Close())
}

// inOtherModule says whether a file belongs to a module below this one.
func inOtherModule(name string, names []string) bool {
	for _, other := range names {
		dir, isModule := strings.CutSuffix(other, "/go.mod")
		if isModule && strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
