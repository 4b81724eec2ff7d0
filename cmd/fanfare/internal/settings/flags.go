package settings

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
)

// AddFlags adds a flag for each setting, or for each of those with the given keys.
// Flags may be written with dashes instead of underscores: --admin-listen.
func AddFlags(fs *pflag.FlagSet, only ...string) {
	defaults := fanfare.DefaultConfig()
	for _, s := range of(&defaults) {
		if len(only) > 0 && !slices.Contains(only, s.Key) {
			continue
		}
		f := fs.VarPF(&flag{kind: kind(s.field), text: usual(s.field)}, s.Key, "", s.Help)
		if _, isBool := s.field.(*bool); isBool {
			f.NoOptDefVal = "true"
		}
		if s.Secret {
			file := fs.VarPF(&flag{kind: "path"}, s.Key+fileSuffix, "", "file that holds "+s.Key)
			file.Hidden = true
		}
	}
	names := keys()
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if u := strings.ReplaceAll(name, "-", "_"); slices.Contains(names, u) {
			name = u
		}
		return pflag.NormalizedName(name)
	})
}

// A flag keeps its value as text, which Load parses like that of any other source.
type flag struct{ kind, text string }

func (f *flag) String() string     { return f.text }
func (f *flag) Set(s string) error { f.text = s; return nil }
func (f *flag) Type() string       { return f.kind }

// kind names the type of a field's values, for help.
func kind(field any) string {
	switch field.(type) {
	case *bool:
		return "bool"
	case *int:
		return "number"
	case *fanfare.Size:
		return "size"
	case *time.Duration:
		return "duration"
	case *[]string, *[]fanfare.Secret:
		return "list"
	default:
		return "text"
	}
}

// usual shows a default in help: "" if there is none.
func usual(field any) string {
	switch f := field.(type) {
	case *bool:
		return "false"
	case *string:
		return *f
	case *urls:
		return string(*f)
	case *[]string:
		return strings.Join(*f, ",")
	case *fanfare.Secret, *[]fanfare.Secret, *[]fanfare.Webhook:
		return ""
	}
	return show(field)
}
