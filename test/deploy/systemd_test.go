package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/freeport"
)

// unit returns the settings of deploy/systemd/fanfare.service that are there once, and
// the path of a copy that starts the binary under test.
func unit(t *testing.T) (settings map[string]string, path string) {
	t.Helper()
	text := read(t, "deploy/systemd/fanfare.service")
	settings = map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			settings[name] = value
		}
	}
	const program = "/usr/local/bin/fanfare"
	if !strings.HasPrefix(settings["ExecStart"], program+" ") {
		t.Fatalf("it starts %q", settings["ExecStart"])
	}
	path = filepath.Join(t.TempDir(), "fanfare.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, program, fanfareBinary)), 0o600); err != nil {
		t.Fatal(err)
	}
	return settings, path
}

func TestSystemdUnderstandsTheUnit(t *testing.T) {
	t.Parallel()
	analyze := needs(t, "systemd-analyze")
	_, path := unit(t)
	if out := must(t, exec.Command(analyze, "verify", path)); out != "" {
		t.Errorf("it has complaints:\n%s", out)
	}
	// The score goes from 0, which is all that can be forbidden, to 100.
	must(t, exec.Command(analyze, "security", "--offline=true", "--threshold=15", path))
}

func TestTheUnitHasAUserAndTime(t *testing.T) {
	t.Parallel()
	settings, _ := unit(t)
	cfg := fanfare.DefaultConfig()
	stop, err := time.ParseDuration(settings["TimeoutStopSec"])
	if last := 5 * time.Second; err != nil || stop <= cfg.Drain+last { // fanfare serve waits that long for requests
		t.Errorf("a node takes up to %v to end, and is killed after %v (%v)", cfg.Drain+last, stop, err)
	}
	if files, err := strconv.Atoi(settings["LimitNOFILE"]); err != nil || files < cfg.Limits.Sessions*3/2 {
		t.Errorf("%d files for %d sessions (%v)", files, cfg.Limits.Sessions, err)
	}
	// A node that cannot start with its settings says so with 2.
	wrong := exec.Command(fanfareBinary, "serve", "--drain", "soon")
	if _ = wrong.Run(); settings["RestartPreventExitStatus"] != strconv.Itoa(wrong.ProcessState.ExitCode()) {
		t.Errorf("wrong settings end it with %d, and it is not started again after %s",
			wrong.ProcessState.ExitCode(), settings["RestartPreventExitStatus"])
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	users, err := filepath.Abs("../../deploy/systemd/fanfare.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command(needs(t, "systemd-sysusers"), "--root="+root, users))
	passwd, err := os.ReadFile(filepath.Join(root, "etc", "passwd"))
	if err != nil || !strings.HasPrefix(string(passwd), settings["User"]+":") || settings["User"] == "root" {
		t.Errorf("the unit runs as %q, and %q is made (%v)", settings["User"], passwd, err)
	}
}

// systemctl reload sends a signal at which a node reads its keys again, and does not end.
func TestTheUnitReloadsANode(t *testing.T) {
	t.Parallel()
	settings, _ := unit(t)
	if settings["ExecReload"] != "/bin/kill -HUP $MAINPID" {
		t.Fatalf("it reloads with %q", settings["ExecReload"])
	}
	help := must(t, exec.Command(fanfareBinary, "serve", "--help"))
	if !strings.Contains(help, "--auth.reload") {
		t.Skip("this version of Fanfare does not read its keys again: it has no setting auth.reload")
	}
	address := freeport.Address(t)
	said := start(t, []string{"FANFARE_AUTH_JWT_SECRET=" + strings.Repeat("s", 32)}, "serve", "--listen", address)
	healthy := func() error {
		return exec.Command(fanfareBinary, "health", "--url", "http://"+address).Run()
	}
	eventually(t, 20*time.Second, "the node takes clients", healthy)
	if err := said.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the node says that it has looked", func() error {
		if !strings.Contains(said.String(), "settings of auth") {
			return errors.New("it has not")
		}
		return healthy()
	})
}
