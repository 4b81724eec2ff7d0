// Package settings finds a node's settings. Each comes from a flag; without one,
// from the environment; without that, from a YAML file; else it is the default. A
// name that is no setting is refused, and the error suggests the nearest that is.
package settings

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
)

// Sources are where settings come from.
type Sources struct {
	File    string         // path of the YAML file; "" for none
	Environ []string       // as os.Environ returns it
	Flags   *pflag.FlagSet // of these, those that AddFlags made are read; may be nil
}

// Settings are a [fanfare.Config], and where each part of it comes from.
type Settings struct {
	Config fanfare.Config
	// Ignored are environment variables whose names begin with EnvPrefix, and that
	// a platform set for another service.
	Ignored []string

	src    Sources
	origin map[string]string // by key; a setting without one has its default
}

// Reload reads all sources again: the file, and the files of secrets, may have changed.
func (s *Settings) Reload() (*Settings, error) { return Load(s.src) }

// Changed returns the names of the settings that differ.
func (s *Settings) Changed(than *Settings) (keys []string) {
	old := of(&than.Config)
	for i, now := range of(&s.Config) {
		if !reflect.DeepEqual(now.field, old[i].field) {
			keys = append(keys, now.Key)
		}
	}
	return keys
}

// A layer is what one source says.
type layer struct {
	values map[string]any          // by key: a string, a null, a list of these, or something else
	origin func(key string) string // says where a key is, for people
}

// Load reads all sources. The error names everything that is wrong with the form
// of the settings. Whether they make sense is for [fanfare.Config.Validate] to
// say.
func Load(src Sources) (*Settings, error) {
	s := &Settings{Config: fanfare.DefaultConfig(), src: src, origin: map[string]string{}}
	var faults []error
	environ := func(src Sources) (l layer, err error) {
		l, s.Ignored, err = fromEnviron(src)
		return l, err
	}
	for _, read := range []func(Sources) (layer, error){fromFile, environ, fromFlags} {
		l, err := read(src)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, s.apply(l)...)
	}
	return s, errors.Join(faults...)
}

func fromFlags(src Sources) (layer, error) {
	values := map[string]any{}
	if src.Flags != nil {
		src.Flags.Visit(func(f *pflag.Flag) {
			if v, ours := f.Value.(*flag); ours {
				values[f.Name] = v.text
			}
		})
	}
	return layer{values, func(key string) string { return "flag --" + key }}, nil
}

// apply sets what a layer has, over what the layers before it have set.
func (s *Settings) apply(l layer) (faults []error) {
	defaults := fanfare.DefaultConfig()
	usual := of(&defaults)
	for i, setting := range of(&s.Config) {
		value, origin, err := l.find(setting)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if origin == "" {
			continue // not in this layer
		}
		err = set(setting.field, value)
		if err == nil && empty(setting.field) && !empty(usual[i].field) {
			err = errors.New("want at least one; leave it out for the default")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w (%s)", setting.Key, err, origin))
		}
		s.origin[setting.Key] = origin
	}
	return append(faults, unknown(l)...)
}

// find takes a setting's value out of the layer, or out of the file that the
// layer names for it. It also returns where the value comes from: "" if the
// layer has none.
func (l layer) find(s Setting) (value any, origin string, err error) {
	value, given := take(l.values, s.Key)
	path, inFile := take(l.values, s.Key+fileSuffix)
	inFile = inFile && s.Secret
	switch {
	case given && inFile:
		return nil, "", fmt.Errorf("%[1]s: is given, and so is %[1]s%[2]s: keep one",
			s.Key, fileSuffix)
	case given:
		return value, l.origin(s.Key), nil
	case !inFile:
		return nil, "", nil
	}
	name, err := scalar(path)
	if err == nil {
		value, err = SecretFile(name)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s%s: %w", s.Key, fileSuffix, err)
	}
	return value, fmt.Sprintf("%s (%s)", l.origin(s.Key+fileSuffix), name), nil
}

// SecretFile returns what a file holds, without the white space around it. It
// refuses a file that begins with a byte order mark, which some editors write and
// nobody sees: as a part of a secret it would make all tokens wrong. It also
// refuses an empty file, which was not written yet, or is not the one that was
// meant. The error names the file, unless the name may be the secret itself, put
// in the wrong place.
func SecretFile(name string) (string, error) {
	content, err := os.ReadFile(name)
	switch text := strings.TrimSpace(string(content)); {
	case err != nil && !looksLikePath(name):
		return "", fmt.Errorf("want the path of a file, not what is in it: %w", plain(err))
	case err != nil:
		return "", fmt.Errorf("%s: %w", name, plain(err))
	case strings.HasPrefix(text, "\ufeff"):
		return "", fmt.Errorf(
			"%s: it begins with a byte order mark: save it as UTF-8 without one", name)
	case text == "":
		return "", fmt.Errorf("%s: it is empty", name)
	default:
		return text, nil
	}
}

// looksLikePath says whether a name is more likely that of a file than a secret.
func looksLikePath(name string) bool {
	isPath := len(name) < 32 || slices.ContainsFunc([]string{"/", "./", "../"},
		func(start string) bool { return strings.HasPrefix(name, start) })
	return isPath && !strings.ContainsAny(name, "@=:\n")
}

// take removes a key, and returns its value and whether it has one: in a file,
// "node:" has none.
func take(values map[string]any, key string) (any, bool) {
	v, ok := values[key]
	delete(values, key)
	return v, ok && v != nil
}

// empty says whether a field is a list with nothing in it.
func empty(field any) bool {
	list, ok := field.(*[]string)
	return ok && len(*list) == 0
}

// unknown refuses what is left of a layer after apply has taken all settings out.
func unknown(l layer) (faults []error) {
	names := keys()
	for name, value := range l.values {
		if _, isNull := value.(null); (isNull || value == nil) && below(name, names) != "" {
			continue // "auth:" with everything below it commented out
		}
		if strings.HasPrefix(name, EnvPrefix) {
			faults = append(faults, unknownVariable(name))
			continue
		}
		if key := secretAbove(name); key != "" {
			faults = append(faults,
				fmt.Errorf("%s: want one value, not a section (%s)", key, l.origin(key)))
			continue
		}
		hint := Suggest(name, names)
		if setting := below(name, names); setting != "" {
			hint = ": it is a section, of settings such as " + setting
		}
		faults = append(faults, fmt.Errorf("unknown setting %s%s (%s)", name, hint, l.origin(name)))
	}
	return faults
}

func unknownVariable(name string) error {
	const format = "unknown setting %s in the environment%s"
	if name == EnvPrefix+"PORT" { // many platforms set PORT, so people expect it
		return fmt.Errorf(format, name, ": the address is "+envName("listen")+", such as :8080")
	}
	return fmt.Errorf(format, name, Suggest(name, each(keys(), envName)))
}

// secretAbove returns the secret setting whose name, with a dot, a name begins
// with, or "". Such a name is a part of the secret, whose braces and colons YAML
// took for a section.
func secretAbove(name string) string {
	for _, s := range All() {
		if s.Secret && strings.HasPrefix(name, s.Key+".") {
			return s.Key
		}
	}
	return ""
}

// below returns a setting below a name, as there are below auth, or "".
func below(name string, keys []string) string {
	for _, k := range keys {
		if strings.HasPrefix(k, name+".") {
			return k
		}
	}
	return ""
}

// wide is how many bytes of a setting fit before the column that says where it comes from.
const wide = 80

// String shows every setting, its value and where it comes from, in a form that
// is a valid file. Secrets are hidden.
func (s *Settings) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, setting := range of(&s.Config) {
		origin := s.origin[setting.Key]
		if origin == "" {
			origin = "default"
		}
		line := setting.Key + ": " + show(setting.field)
		column := "\t"
		if len(line) > wide {
			column = "  " // beside this one alone, so that it does not push the others aside
		}
		fmt.Fprintf(w, "%s%s# %s\n", line, column, origin)
	}
	_ = w.Flush() // to memory
	for _, name := range s.Ignored {
		fmt.Fprintf(&b, "# %s in the environment is no setting: "+
			"the platform puts it there for another service\n", name)
	}
	return b.String()
}
