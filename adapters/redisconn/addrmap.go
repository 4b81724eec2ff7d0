package redisconn

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// parseAddrMap reads the parameter cluster_map: pairs of the address that the cluster
// names and the one at which it is reached, such as "10.0.0.1:6379=host:7001".
func parseAddrMap(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	all := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		named, reached, _ := strings.Cut(pair, "=")
		if !isAddr(named) || !isAddr(reached) {
			return nil, fmt.Errorf("cluster_map: %q: want host:port=host:port, separated by commas", pair)
		}
		if all[named] != "" {
			return nil, fmt.Errorf("cluster_map: %s is named twice", named)
		}
		all[named] = reached
	}
	return all, nil
}

// isAddr reports whether s is host:port.
func isAddr(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
