// Package settings finds a node's settings: flags, else the environment, else
// a YAML file, else the defaults. A name that is no setting is refused, with
// the nearest that is.
package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
)

// Sources are where settings come from.
type Sources struct {
	File    string         // path of the YAML file; "" for none
	Environ []string       // as os.Environ returns it
	Flags   *pflag.FlagSet // flags that AddFlags made; the others are left alone
}

// Settings are a Config and where each part of it comes from.
type Settings struct {
	Config fanfare.Config
	// Ignored are environment variables that begin as ours do and were put there
	// by a platform, for a service beside this one.
	Ignored []string

	origin map[string]string // by key; absent: default
}

// A layer is one source's settings.
type layer struct {
	values map[string]any // by key
	origin func(key string) string
}

// Load reads all sources. It joins everything that is wrong with their form;
// whether the settings make sense together is Config.Validate's to say.
func Load(src Sources) (*Settings, error) {
	s := &Settings{Config: fanfare.DefaultConfig(), origin: map[string]string{}}
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

// apply puts a layer over what is there.
func (s *Settings) apply(l layer) (faults []error) {
	defaults := fanfare.DefaultConfig()
	for _, setting := range All() {
		value, given := take(l.values, setting.Key)
		path, inFile := take(l.values, setting.Key+fileSuffix)
		inFile = inFile && setting.Secret
		origin := ""
		switch {
		case given && inFile:
			faults = append(faults, fmt.Errorf("%s: is given, and so is %s%s: keep one", setting.Key, setting.Key, fileSuffix))
			continue
		case inFile:
			name, err := scalar(path)
			if err == nil {
				value, err = SecretFile(name)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s%s: %w", setting.Key, fileSuffix, err))
				continue
			}
			origin = fmt.Sprintf("%s (%s)", l.origin(setting.Key+fileSuffix), name)
		case given:
			origin = l.origin(setting.Key)
		default:
			continue
		}
		field := setting.field(&s.Config)
		err := set(field, value)
		if err == nil && empty(field) && !empty(setting.field(&defaults)) {
			err = errors.New("want at least one; leave it out for the default")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w (%s)", setting.Key, err, origin))
		}
		s.origin[setting.Key] = origin
	}
	return append(faults, unknown(l)...)
}

// SecretFile returns what a file holds, without the space around it. A byte
// order mark, which some editors write and nobody sees, is refused: as a part of
// a secret it would make all tokens wrong. A file that holds nothing was not
// written yet, or not to there. An error names the file, unless that may be the
// secret itself, put in the wrong place.
func SecretFile(name string) (string, error) {
	content, err := os.ReadFile(name)
	if err == nil {
		text := strings.TrimSpace(string(content))
		if strings.HasPrefix(text, "\ufeff") {
			return "", fmt.Errorf("%s: it begins with a byte order mark: save it as UTF-8 without one", name)
		}
		if text == "" {
			return "", fmt.Errorf("%s: it is empty", name)
		}
		return text, nil
	}
	isPath := strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") || len(name) < 32
	if !isPath || strings.ContainsAny(name, "@=:\n") {
		return "", fmt.Errorf("want the path of a file, not what is in it: %w", plain(err))
	}
	return "", fmt.Errorf("%s: %w", name, plain(err))
}

// take removes a key. A key without a value, as in "node:", is not given.
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

// unknown refuses what apply did not take.
func unknown(l layer) (faults []error) {
	names := keys()
	for name, value := range l.values {
		if _, isNull := value.(null); (isNull || value == nil) && isSection(name, names) {
			continue // "auth:" with everything below it commented out
		}
		if strings.HasPrefix(name, EnvPrefix) {
			if name == EnvPrefix+"PORT" {
				faults = append(faults, fmt.Errorf("unknown setting %s in the environment: the address is %s, such as :8080", name, envName("listen")))
				continue
			}
			names := each(names, envName)
			faults = append(faults, fmt.Errorf("unknown setting %s in the environment%s", name, Suggest(name, names)))
			continue
		}
		if key := secretAbove(name); key != "" {
			faults = append(faults, fmt.Errorf("%s: want one value, not a section (%s)", key, l.origin(key)))
			continue
		}
		faults = append(faults, fmt.Errorf("unknown setting %s%s (%s)", name, Suggest(name, names), l.origin(name)))
	}
	return faults
}

// secretAbove returns the secret setting below which a name stands, or "". Such
// a name is a part of the secret: braces and colons made a section of it.
func secretAbove(name string) string {
	for _, s := range All() {
		if s.Secret && strings.HasPrefix(name, s.Key+".") {
			return s.Key
		}
	}
	return ""
}

func isSection(name string, keys []string) bool {
	for _, k := range keys {
		if strings.HasPrefix(k, name+".") {
			return true
		}
	}
	return false
}

// String shows every setting, its value and where it comes from, secrets
// hidden, in a form that is a valid file.
func (s *Settings) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, setting := range All() {
		origin := s.origin[setting.Key]
		if origin == "" {
			origin = "default"
		}
		fmt.Fprintf(w, "%s: %s\t# %s\n", setting.Key, show(setting.field(&s.Config)), origin)
	}
	_ = w.Flush() // to memory
	for _, name := range s.Ignored {
		fmt.Fprintf(&b, "# %s in the environment is no setting: the platform puts it there for another service\n", name)
	}
	return b.String()
}
