package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare"
)

// chosen are the lines of the settings that everybody has to choose. A sample has them
// as they are here, and all other settings as comments.
var chosen = map[string]string{
	"transport":       "transport: redis-streams://localhost:6379/0",
	"systems":         "systems: [orders, chat]",
	"auth.jwt.secret": "secret_file: /etc/fanfare/jwt.secret",
	"auth.api_keys":   "api_keys_file: /etc/fanfare/api.keys",
}

// sampleHead is what a sample begins with.
const sampleHead = `# All settings of a Fanfare node. A "#" with a space behind it begins a comment. A "#" with
# the name of a setting behind it is that setting with its default: take the "#" away to
# change it. The lines without "#" are what everybody has to choose.
#
#   fanfare config check --config fanfare.yaml     says what is wrong with it
#   fanfare config print --config fanfare.yaml     shows what takes effect
#
# A size is written as 64KiB, a time as 10m, a list as [a, b].
`

// Sample returns a file that has every setting, with its meaning and its default.
func Sample() string {
	defaults := fanfare.DefaultConfig()
	var b strings.Builder
	b.WriteString(sampleHead)
	writeSection(&b, "", of(&defaults))
	return b.String()
}

// writeSection writes the settings whose names begin with prefix. Those of one section
// stand together, where the first of them is.
func writeSection(b *strings.Builder, prefix string, all []Setting) {
	margin := strings.Repeat("  ", strings.Count(prefix, "."))
	var done []string
	for _, s := range all {
		name := strings.TrimPrefix(s.Key, prefix)
		section, _, deeper := strings.Cut(name, ".")
		if !deeper {
			writeSetting(b, margin, name, s)
			continue
		}
		if slices.Contains(done, section) {
			continue
		}
		done = append(done, section)
		inside := prefix + section + "."
		fmt.Fprintf(b, "\n%s%s:", margin, section)
		writeSection(b, inside, slices.DeleteFunc(slices.Clone(all), func(s Setting) bool {
			return !strings.HasPrefix(s.Key, inside)
		}))
	}
}

// writeSetting writes the meaning of one setting, and its line.
func writeSetting(b *strings.Builder, margin, name string, s Setting) {
	fmt.Fprintln(b)
	for _, line := range wrapped(s.Help, 90-len(margin)) {
		fmt.Fprintf(b, "%s# %s\n", margin, line)
	}
	line, ok := chosen[s.Key]
	switch {
	case ok:
	case s.Secret:
		line = fmt.Sprintf("#%s%s: /etc/fanfare/%s", name, fileSuffix, s.Key)
	default:
		line = fmt.Sprintf("#%s: %s", name, show(s.field))
	}
	fmt.Fprintf(b, "%s%s\n", margin, line)
}

// wrapped breaks a text into lines of at most so many bytes, if its words allow it.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
