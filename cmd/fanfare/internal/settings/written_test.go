package settings_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

func TestTextInAFileIsTakenAsItIsWritten(t *testing.T) {
	for _, text := range []string{
		"007", "0123", "1e3", "0x10", "0o17", "12:30:45", "1_000", "1.0", ".5", "yes", "no", "on", "off", "y", "True", "2026-01-02",
		"2026-01-02T03:04:05Z", ".inf", ".nan", "+1", "-0", "0b1", "6.02e23", "9999999999999999999999", "=", "Null1",
	} {
		for _, form := range []string{text, "'" + text + "'", `"` + text + `"`, "&a " + text} {
			s := load(t, settings.Sources{File: write(t, "c.yaml", "auth:\n  jwt:\n    audience: "+form+"\nnode: "+form+"\nsystems: ["+form+", b]\n")})
			if s.Config.Auth.JWT.Audience != text || s.Config.Node != text || !slices.Equal(s.Config.Systems, []string{text, "b"}) {
				t.Errorf("%s: got %q, %q, %q", form, s.Config.Auth.JWT.Audience, s.Config.Node, s.Config.Systems)
			}
		}
	}
}

func TestWhatAFileMayNotHoldIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"node: null":                            "node: null is no value: leave the setting out, or quote it",
		"node: ~":                               "~ is no value",
		"node: [a]":                             "want one value",
		"node: !!str 7":                         "has a tag",
		"node: !!binary aGk=":                   "has a tag",
		"node: ' a'":                            "begins or ends with a space",
		"node: a\nnode: b":                      "node is there twice",
		"limits: {stall: 1s}\nlimits.stall: 2s": "limits.stall is there twice",
		"limits: {stall: 1s}\nlimits: {drain: 1}": "unknown setting limits.drain",
		"limits: {stall: 1s}\nlimits: {stall: 1}": "twice",
		"node: a\n---\nnode: b":                   "several documents",
		"systems: []":                             "systems: want at least one",
		"systems: ','":                            "systems: want at least one",
		"systems: [a, '']":                        "systems: has an empty element",
		"systems: [a, ~]":                         "is no value",
		"systems: [a, {b: c}]":                    "systems: want one value",
		"a: &a [*a]":                              "alias",
		"limits: &l {stall: 1s}\nwindow: *l":      "alias",
		"<<: {node: a}":                           "want a setting's name",
		"just text":                               "want settings",
		"auth.query_token: yes":                   "want true or false",
		"limits.sessions: 0123":                   "want a whole number",
		"limits.sessions: 1e3":                    "want a whole number",
		"limits.sessions: 0x10":                   "want a whole number",
		"limits.sessions: 1.0":                    "want a whole number",
		"drain: 12:30:45":                         "want a duration",
		"window.bytes: .inf":                      "want a size",
		"window.bytes: NaNGB":                     "want a size",
		"Node: a":                                 "did you mean node?",
	} {
		_, err := settings.Load(settings.Sources{File: write(t, "c.yaml", text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
	for _, nothing := range []string{"", "# node: a\n", "---\n", "auth:\n", "auth: ~\n", "auth: {}\n", "auth:\n  jwt:\n", "~\n"} {
		load(t, settings.Sources{File: write(t, "c.yaml", nothing)})
	}
	if s := load(t, settings.Sources{File: write(t, "c.yaml", "limits: {stall: &s 7s, answer_time: *s}")}); s.Config.Limits.AnswerTime != 7*time.Second {
		t.Errorf("an alias: %v", s.Config.Limits.AnswerTime)
	}
}

// The YAML parser's errors quote the file, in which there may be a secret.
func TestAFileThatIsNoYAMLShowsNothingOfItself(t *testing.T) {
	for _, text := range []string{"auth.jwt.secret: *s3cr3t", "auth.jwt.secret: &s3cr3t", "a: 'b\ns3cr3t: c", "auth.jwt.secret: !s3cr3t x", "auth.jwt.secret: %s3cr3t", "auth.jwt.secret: @s3cr3t", "auth: {jwt: s3cr3t: x}"} {
		if _, err := settings.Load(settings.Sources{File: write(t, "c.yaml", text)}); err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTextFromTheEnvironmentAndFlags(t *testing.T) {
	s := load(t, settings.Sources{Environ: []string{"FANFARE_NODE= n1 ", "FANFARE_SYSTEMS=a, b,\nc,", "FANFARE_ORIGINS=,"}, Flags: flags(t, "--auth.jwt.audience= 007")})
	if s.Config.Node != "n1" || !slices.Equal(s.Config.Systems, []string{"a", "b", "c"}) || len(s.Config.Origins) != 0 || s.Config.Auth.JWT.Audience != "007" {
		t.Errorf("got %+v", s.Config)
	}
	for pair, want := range map[string]string{
		`FANFARE_NODE="n1"`: "in quotes", `FANFARE_AUTH_JWT_SECRET='x'`: "in quotes", `FANFARE_SYSTEMS="a","b"`: "in quotes", `FANFARE_DRAIN="1s"`: "",
		"FANFARE_SYSTEMS=,": "at least one", "FANFARE_LIMITS_SESSIONS=1e3": "whole number", "FANFARE_LIMITS_SESSIONS=007": "whole number",
	} {
		if _, err := settings.Load(settings.Sources{Environ: []string{pair}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", pair, err, want)
		}
	}
}

// A number that is too large for its type is refused like any that is over its
// bound.
func TestHugeNumbersAreToldTheirBound(t *testing.T) {
	for pair, want := range map[string]string{
		"drain=10000000h": "drain: ", "drain=99999999999999999999999h": "drain: ", "window.bytes=9999999999GB": "window.bytes: ", "window.bytes=99999999999999999999999999": "window.bytes: ",
		"limits.sessions=99999999999999999999": "limits.sessions: ", "limits.inbound-rate=1000001": "limits.inbound_rate: 1000001 is too much: want at most 1000000",
	} {
		s := load(t, settings.Sources{Flags: flags(t, "--"+pair)})
		s.Config.Dev = true
		if err := s.Config.Validate(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "want at most") {
			t.Errorf("%s: %v", pair, err)
		}
	}
	for _, pair := range []string{"drain=-1s", "drain=NaN", "drain=1e9h", "window.bytes=-99999999999999999999999", "window.bytes=1e400GB", "limits.sessions=-99999999999999999999", "limits.sessions=NaN", "limits.sessions=0"} {
		if _, err := settings.Load(settings.Sources{Flags: flags(t, "--"+pair)}); err == nil {
			t.Errorf("%s: accepted", pair)
		}
	}
}

func TestWhatAPlatformInjectsIsNoSettingAndIsSaid(t *testing.T) {
	var environ, names []string
	for _, service := range []string{"FANFARE", "FANFARE_NODE", "FANFARE_REDIS", "FANFARE_ADMIN_LISTEN", "FANFARE_LISTEN", "FANFARE_TRANSPORT", "FANFARE_AUTH_JWT_SECRET", "FANFARE_LOG", "FANFARE_2"} {
		for _, v := range []string{
			"_SERVICE_HOST=10.96.7.12", "_SERVICE_PORT=6379", "_SERVICE_PORT_HTTP=8080", "_SERVICE_PORT_HTTP_ALT=8081", "_PORT=tcp://10.96.7.12:6379", "_PORT_6379_TCP=tcp://10.96.7.12:6379",
			"_PORT_6379_TCP_PROTO=tcp", "_PORT_6379_TCP_PORT=6379", "_PORT_6379_TCP_ADDR=10.96.7.12", "_PORT_53_UDP=udp://[fd00::1]:53", "_PORT_53_UDP_ADDR=fd00::1",
			"_NAME=/web/fanfare", "_ENV_REDIS_VERSION=7.0.1",
		} {
			environ = append(environ, service+v)
			name, _, _ := strings.Cut(service+v, "=")
			names = append(names, name)
		}
	}
	s := load(t, settings.Sources{Environ: append(environ, "FANFARE_SERVICE_HOST=fd00::1")})
	unset := load(t, settings.Sources{})
	if s.Config.Listen != unset.Config.Listen || s.Config.Node != "" || s.Config.Transport != unset.Config.Transport {
		t.Errorf("one was taken for a setting: %+v", s.Config)
	}
	for _, name := range names {
		if !slices.Contains(s.Ignored, name) || !strings.Contains(s.String(), "# "+name+" in the environment is no setting") {
			t.Errorf("%s is not said to be ignored", name)
		}
	}
	load(t, settings.Sources{File: write(t, "printed.yaml", s.String())})
}

func TestWhatAPersonWroteIsNotTakenForAPlatforms(t *testing.T) {
	for pair, want := range map[string]string{
		"FANFARE_PORT=8080": "FANFARE_LISTEN", "FANFARE_SERVICE_HOST=example.com": "unknown setting", "FANFARE_SERVICE_PORT=http": "unknown setting", "FANFARE_NAME=n1": "did you mean FANFARE_NODE?",
		"FANFARE_REDIS_PORT=6379": "unknown setting", "FANFARE_TRANSPROT=memory://": "did you mean FANFARE_TRANSPORT?", "FANFARE_NODES=a": "did you mean FANFARE_NODE?",
	} {
		if _, err := settings.Load(settings.Sources{Environ: []string{pair}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", pair, err, want)
		}
	}
	// No setting has a name that a platform could give.
	var environ []string
	for _, s := range settings.All() {
		environ = append(environ, "FANFARE_"+strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))+"=10.96.7.12")
	}
	s, _ := settings.Load(settings.Sources{Environ: environ})
	if len(s.Ignored) != 0 {
		t.Errorf("settings are ignored: %v", s.Ignored)
	}
	// The variables of our other commands are not taken for misspelt settings.
	load(t, settings.Sources{Environ: []string{"FANFARE_KEY=k", "FANFARE_URL=http://h", "FANFARE_TOKEN=t", "FANFARE_CONFIG=c", "FANFARE_LONG=1", "FANFARE_USER=alice"}})
}
