package settings

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable of ours.
const EnvPrefix = "FANFARE_"

// foreign are environment variables of ours that are no settings: those of the
// commands that are clients, and of the tests.
var foreign = map[string]bool{"CONFIG": true, "URL": true, "KEY": true, "TOKEN": true, "USER": true, "LONG": true, "SKIP": true}

// fromEnviron also returns the names of variables that a platform put there.
func fromEnviron(src Sources) (_ layer, ignored []string, _ error) {
	known := map[string]string{}
	for _, key := range keys() {
		known[envName(key)] = key
	}
	values := map[string]any{}
	for _, pair := range src.Environ {
		name, value, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, EnvPrefix)
		switch key, isSetting := known[name]; {
		case !ours || value == "" || foreign[rest]:
		case isSetting:
			values[key] = value
		case injected(name, value):
			ignored = append(ignored, name)
		default:
			values[name] = value
		}
	}
	return layer{values, func(key string) string { return "env " + envName(key) }}, ignored, nil
}

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// address matches NAME_PORT_80_TCP and its like, where NAME may be FANFARE.
var address = regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// injected recognises what Kubernetes puts into the environment of a pod for
// every service beside it, and Docker for every link: a service that is called
// fanfare, or fanfare-redis, gets names that begin as ours do. The value has to
// look so, too: a person may have written FANFARE_PORT=8080.
func injected(name, value string) bool {
	switch {
	case address.MatchString(name):
		return true
	case strings.HasSuffix(name, "_SERVICE_HOST"):
		_, err := netip.ParseAddr(value)
		return err == nil
	case strings.HasSuffix(name, "_SERVICE_PORT"), strings.Contains(name, "_SERVICE_PORT_"):
		_, err := strconv.ParseUint(value, 10, 16)
		return err == nil
	case strings.HasSuffix(name, "_PORT"):
		scheme, _, found := strings.Cut(value, "://")
		return found && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
	case strings.HasSuffix(name, "_NAME"): // of a link: /this/that
		return strings.HasPrefix(value, "/")
	default: // a link passes on the environment of the other container
		return strings.Contains(name, "_ENV_")
	}
}
