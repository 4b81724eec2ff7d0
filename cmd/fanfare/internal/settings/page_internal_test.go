package settings

import (
	"bytes"
	commandline "flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
)

var update = commandline.Bool("update", false, "write docs/settings.md and deploy/fanfare.yaml anew")

const root = "../../../../"

// What is generated from the settings is what they are now.
func TestPageAndSampleAreGenerated(t *testing.T) {
	for name, want := range map[string]string{
		"docs/settings.md":    page(t),
		"deploy/fanfare.yaml": Sample(),
	} {
		if *update {
			if err := os.WriteFile(root+name, []byte(want), 0o644); err != nil {
				t.Error(err)
			}
			continue
		}
		got, err := os.ReadFile(root + name)
		if err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s is not what is generated: run make docs", name)
		}
	}
}

// A node starts with the sample as it is, if the files that it names are there. The lines
// that are comments have the defaults.
func TestTheSampleIsAValidFileWithTheDefaults(t *testing.T) {
	dir := t.TempDir() + "/"
	key := "shop:publish/orders:" + strings.Repeat("0", 64)
	for name, text := range map[string]string{"jwt.secret": strings.Repeat("s", 32), "api.keys": key} {
		if err := os.WriteFile(dir+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sample := strings.ReplaceAll(Sample(), "/etc/fanfare/", dir)
	s := loaded(t, sample)
	if err := s.Config.Validate(); err != nil {
		t.Errorf("the sample as it is: %v", err)
	}
	if got := s.Config.Systems; len(got) != 2 || len(s.Config.Auth.APIKeys) != 1 {
		t.Errorf("the sample sets the systems %v and %d keys", got, len(s.Config.Auth.APIKeys))
	}

	lines := regexp.MustCompile(`(?m)^( *)([a-z_]+: \S.*)$`).ReplaceAllString(sample, "")
	lines = regexp.MustCompile(`(?m)^( *)#([a-z_]+_file: .*)$`).ReplaceAllString(lines, "")
	lines = regexp.MustCompile(`(?m)^( *)#([a-z_]+: )`).ReplaceAllString(lines, "$1$2")
	s = loaded(t, lines)
	if want := fanfare.DefaultConfig(); fmt.Sprint(s.Config) != fmt.Sprint(want) {
		t.Errorf("with all comments taken away it sets\n%v\nwant the defaults\n%v", s.Config, want)
	}
	for _, setting := range of(&s.Config) {
		_, isChosen := chosen[setting.Key]
		if !isChosen && !setting.Secret && !strings.HasPrefix(s.origin[setting.Key], "file ") {
			t.Errorf("the sample does not have %s", setting.Key)
		}
	}
}

func loaded(t *testing.T, text string) *Settings {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sample.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Sources{File: name})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return s
}

const pageHead = `# Settings

<!-- Written by "make docs" from cmd/fanfare/internal/settings/table.go: change it there. -->

Each setting has three spellings: the flag ` + "`--limits.stall`" + `, the environment variable
` + "`FANFARE_LIMITS_STALL`" + `, and ` + "`limits.stall`" + ` in the YAML file. A flag beats the environment, and
the environment beats the file. [operating.md](operating.md#settings) says more about how they are
read, and [deploy/fanfare.yaml](../deploy/fanfare.yaml) has all of them; ` + "`fanfare config sample`" + `
prints that file.

Below, ` + "`10m`" + ` is a time, ` + "`64KiB`" + ` a size, and a list is written with commas, or in YAML as
` + "`[a, b]`" + `. A setting that is marked with a star can also come from a file, which the setting with
` + "`_file`" + ` behind its name names: ` + "`auth.jwt.secret_file`" + `. The last column is the field of
` + "`fanfare.Config`" + ` for programs that embed a node.
`

// page returns docs/settings.md: a table of what is in no section, and one of each section.
func page(t *testing.T) string {
	c := fanfare.DefaultConfig()
	tables, order := map[string]*strings.Builder{}, []string{}
	for _, s := range of(&c) {
		section, _, inside := strings.Cut(s.Key, ".")
		if !inside {
			section = ""
		}
		table := tables[section]
		if table == nil {
			table = new(strings.Builder)
			tables[section], order = table, append(order, section)
		}
		writeRow(t, table, &c, s)
	}
	page := pageHead
	for _, section := range order {
		title := "The node"
		if section != "" {
			title = "`" + section + "`"
		}
		page += "\n## " + title + "\n\n| setting | default | may be | what it is | in Go |\n|---|---|---|---|---|\n" +
			tables[section].String()
	}
	return page
}

func writeRow(t *testing.T, table *strings.Builder, c *fanfare.Config, s Setting) {
	key, fallback := "`"+s.Key+"`", "`"+strings.Trim(show(s.field), `[]"`)+"`"
	if s.Secret {
		key += " \\*"
	}
	if fallback == "``" {
		fallback = "none"
	}
	fmt.Fprintf(table, "| %s | %s | %s | %s | `%s` |\n", key, fallback, mayBe(t, s), inCell(s.Help), goField(t, c, s.field))
}

// inCell shows the help of a setting in a cell of a table, with names of settings as code.
func inCell(help string) string {
	words := strings.Fields(help)
	for i, w := range words {
		bare := strings.TrimRight(w, ",;:.")
		isSetting := strings.ContainsAny(bare, "_.") && slices.Contains(keys(), bare)
		if isSetting || strings.ContainsAny(bare, "*{=") || strings.Contains(bare, "://") {
			words[i] = "`" + bare + "`" + w[len(bare):]
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}

// mayBe says which values a setting takes. Of a number it asks Validate for the bounds.
func mayBe(t *testing.T, s Setting) string {
	switch s.field.(type) {
	case *bool:
		return "`true`, `false`"
	case *[]string, *[]fanfare.Secret, *[]fanfare.Webhook:
		return "a list"
	case *urls:
		return "a URL of [these](transports.md#what-each-transport-claims), or two"
	case *int, *time.Duration, *fanfare.Size:
		return between(t, s)
	}
	return "text"
}

var limit = regexp.MustCompile(`want (?:more than 0 and )?at (least|most) ([0-9][^\s,]*)`)

// between returns the bounds of a number: it gives it the largest and the smallest value,
// and reads what is said of them.
func between(t *testing.T, s Setting) string {
	told := func(n int64) string {
		c := fanfare.Config{Auth: fanfare.AuthConfig{JWT: fanfare.JWTConfig{Secret: fanfare.Secret(strings.Repeat("s", 32))}}}
		for _, other := range of(&c) {
			if other.Key == s.Key {
				reflect.ValueOf(other.field).Elem().SetInt(n)
			}
		}
		err := c.Validate()
		if err == nil {
			return ""
		}
		for line := range strings.Lines(err.Error()) {
			if m := limit.FindStringSubmatch(line); m != nil && strings.Contains(line, s.Key+":") {
				return strings.TrimSuffix(m[2], "0s")
			}
		}
		return ""
	}
	low, high := told(1), told(math.MaxInt64)
	if high == "" {
		t.Errorf("%s: nothing bounds it: Validate takes the largest number", s.Key)
	}
	if low == "" {
		return "up to `" + high + "`"
	}
	return "`" + low + "` to `" + high + "`"
}

// goField returns the name of the field of a Config that a setting sets.
func goField(t *testing.T, c *fanfare.Config, field any) string {
	address := reflect.ValueOf(field).Pointer()
	var find func(v reflect.Value, name string) string
	find = func(v reflect.Value, name string) string {
		for i := range v.NumField() {
			f, path := v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, ".")
			if f.Kind() == reflect.Struct {
				if found := find(f, path); found != "" {
					return found
				}
			} else if f.Addr().Pointer() == address {
				return path
			}
		}
		return ""
	}
	name := find(reflect.ValueOf(c).Elem(), "")
	if name == "" {
		t.Errorf("a setting sets no field of Config: %T", field)
	}
	return name
}
