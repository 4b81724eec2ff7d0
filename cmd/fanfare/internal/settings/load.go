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

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
)

// EnvPrefix begins the name of every environment variable of ours.
const EnvPrefix = "FANFARE_"

// foreign are environment variables of ours that are no settings.
var foreign = map[string]bool{"CONFIG": true, "URL": true, "KEY": true, "TOKEN": true}

// Sources are where settings come from.
type Sources struct {
	File    string         // path of the YAML file; "" for none
	Environ []string       // as os.Environ returns it
	Flags   *pflag.FlagSet // flags that AddFlags made; the others are left alone
}

// Settings are a Config and where each part of it comes from.
type Settings struct {
	Config fanfare.Config
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
	for _, read := range []func(Sources) (layer, error){fromFile, fromEnviron, fromFlags} {
		l, err := read(src)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, s.apply(l)...)
	}
	return s, errors.Join(faults...)
}

func fromFile(src Sources) (layer, error) {
	k := koanf.New(".")
	if src.File != "" {
		if err := k.Load(file.Provider(src.File), yaml.Parser()); err != nil {
			return layer{}, fmt.Errorf("config file %s: %w", src.File, plain(err))
		}
	}
	return layer{k.All(), func(string) string { return "file " + src.File }}, nil
}

// plain cuts the path, which the caller names, off a file's error.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func fromEnviron(src Sources) (layer, error) {
	known := map[string]string{}
	for _, key := range keys() {
		known[envName(key)] = key
	}
	k := koanf.New(".")
	err := k.Load(env.Provider("", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return src.Environ },
		TransformFunc: func(name, value string) (string, any) {
			if value == "" || foreign[strings.TrimPrefix(name, EnvPrefix)] || injected(name) {
				return "", nil
			}
			if key, ok := known[name]; ok {
				return key, value
			}
			return name, value
		},
	}), nil)
	return layer{k.All(), func(key string) string { return "env " + envName(key) }}, err
}

// injected recognises what Kubernetes puts into the environment of every pod
// when there is a service called fanfare: FANFARE_PORT_80_TCP and its like.
func injected(name string) bool {
	name = strings.TrimPrefix(name, EnvPrefix)
	return name == "PORT" || strings.HasPrefix(name, "PORT_") || strings.HasPrefix(name, "SERVICE_")
}

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func fromFlags(src Sources) (layer, error) {
	k := koanf.New(".")
	if src.Flags == nil {
		return layer{}, nil
	}
	err := k.Load(posflag.ProviderWithFlag(src.Flags, ".", nil, func(f *pflag.Flag) (string, any) {
		if v, ours := f.Value.(*flag); ours && f.Changed {
			return f.Name, v.text
		}
		return "", nil
	}), nil)
	return layer{k.All(), func(key string) string { return "flag --" + key }}, err
}

// apply puts a layer over what is there.
func (s *Settings) apply(l layer) (faults []error) {
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
			content, err := readSecret(fmt.Sprint(path))
			if err != nil {
				faults = append(faults, fmt.Errorf("%s%s: %v: %w", setting.Key, fileSuffix, path, plain(err)))
				continue
			}
			value, origin = content, fmt.Sprintf("%s (%v)", l.origin(setting.Key+fileSuffix), path)
		case given:
			origin = l.origin(setting.Key)
		default:
			continue
		}
		if err := set(setting.field(&s.Config), value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w (%s)", setting.Key, err, origin))
		}
		s.origin[setting.Key] = origin
	}
	return append(faults, unknown(l)...)
}

// readSecret returns what a file that KEY_file names holds, without the space
// around it. A byte order mark, which some editors write and nobody sees, is
// refused: as a part of a secret it would make all tokens wrong.
func readSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(content))
	if strings.HasPrefix(text, "\ufeff") {
		return "", errors.New("it begins with a byte order mark: save it as UTF-8 without one")
	}
	return text, nil
}

// take removes a key. A key without a value, as in "node:", is not given.
func take(values map[string]any, key string) (any, bool) {
	v, ok := values[key]
	delete(values, key)
	return v, ok && v != nil
}

// unknown refuses what apply did not take.
func unknown(l layer) (faults []error) {
	names := keys()
	for name, value := range l.values {
		if value == nil && section(name, names) {
			continue // "auth:" with everything below it commented out
		}
		if strings.HasPrefix(name, EnvPrefix) {
			names := each(names, envName)
			faults = append(faults, fmt.Errorf("unknown setting %s in the environment%s", name, Suggest(name, names)))
			continue
		}
		faults = append(faults, fmt.Errorf("unknown setting %s%s (%s)", name, Suggest(name, names), l.origin(name)))
	}
	return faults
}

func section(name string, keys []string) bool {
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
	return b.String()
}
