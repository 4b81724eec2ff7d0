package settings_test

import (
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// The output of config print is a file that sets the same values.
func TestWhatIsPrintedIsReadAgainAsTheSame(t *testing.T) {
	for _, text := range []string{
		"n1", "-", "- a", "-a", "--", "---", "...", "~", "null", "Null", ":", ": a", "a:", "a: b", "a #b", "#b", "<<", "!a", "&a", "*a",
		"%a", "`a", "|", ">", "{a}", "[a]", "a,b", "'a", `"a`, `a\b`, "007", "yes", "1e3", "12:30", "a\tb", "a\u00a0b", "a\u2028b", "a\ufeffb", "ä", "a\x7fb", "a\u0085b",
	} {
		first := load(t, settings.Sources{Flags: flags(t, "--node="+text, "--auth.jwt.audience="+text)})
		second := load(t, settings.Sources{File: write(t, "printed.yaml", first.String())})
		if got := second.Config; got.Node != text || got.Auth.JWT.Audience != text {
			t.Errorf("%q became %q and %q:\n%s", text, got.Node, got.Auth.JWT.Audience, first)
		}
	}
}

// A section below a setting may be a part of its secret value.
func TestASectionWhereAValueBelongsIsNotShown(t *testing.T) {
	for _, text := range []string{"auth.jwt.secret: {s3cr3t}", "auth: {jwt: {secret: {s3cr3t: x}}}", "auth.jwt.secret:\n  s3cr3t: x", "auth.api_keys:\n  s3cr3t: x"} {
		_, err := settings.Load(settings.Sources{File: write(t, "c.yaml", text)})
		if err == nil || !strings.Contains(err.Error(), "want one value, not a section") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAFileThatIsNoYAMLIsToldWhy(t *testing.T) {
	for text, want := range map[string]string{
		"systems: *": "quote what begins with *", "systems: [*]": "quote what begins with *", "node: @a": "quote what begins with @", "limits:\n\tstall: 1s": "indent with spaces",
	} {
		if _, err := settings.Load(settings.Sources{File: write(t, "c.yaml", text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
}
