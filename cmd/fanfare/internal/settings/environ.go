package settings

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// EnvPrefix is what the names of Fanfare's environment variables begin with.
const EnvPrefix = "FANFARE_"

// notSettings are Fanfare's environment variables that are no settings, without
// the prefix: those of the commands that are clients, and those of the tests.
var notSettings = map[string]bool{
	"CONFIG": true, "URL": true, "KEY": true, "TOKEN": true, "USER": true,
	"LONG": true, "SKIP": true,
}

// fromEnviron reads the environment. It also returns the names of variables that
// a platform has set and that are to be ignored.
func fromEnviron(src Sources) (_ layer, ignored []string, _ error) {
	known := map[string]string{}
	for _, key := range keys() {
		known[envName(key)] = key
	}
	values := map[string]any{}
	for _, pair := range src.Environ {
		name, value, _ := strings.Cut(pair, "=")
		rest, isOurs := strings.CutPrefix(name, EnvPrefix)
		switch key, isSetting := known[name]; {
		case !isOurs || value == "" || notSettings[rest]:
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

// injected recognises what Kubernetes sets in a pod for each service of its
// namespace, and Docker for each link: for a service called fanfare, or
// fanfare-redis, the names begin with EnvPrefix. The value must look like theirs,
// too, since a person may have written FANFARE_PORT=8080.
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
	default: // a link also passes on the environment of the other container
		return strings.Contains(name, "_ENV_")
	}
}
