package redisconn

import (
	"net"
	"strings"
)

// A target is the server that a request goes to.
type target struct {
	addr string // "" for a server that does not belong to a cluster
	// asking says that the topic is just being moved to this server, which serves it
	// only to those who send ASKING before each command.
	asking bool
}

// redirection returns where the server at from sends a request, if err is or wraps
// its reply that another server of the cluster has the topic.
func redirection(err error, from target) (to target, ok bool) {
	answer, ok := serverAnswer(err)
	if !ok || !isRedirection(answer) {
		return target{}, false
	}
	words := strings.Fields(answer) // such as MOVED 3999 127.0.0.1:6381
	if len(words) < 3 {
		return target{}, false
	}
	colon := strings.LastIndexByte(words[2], ':')
	if colon < 0 {
		return target{}, false
	}
	host := strings.Trim(words[2][:colon], "[]")
	to = target{addr: withHost(host, words[2][colon+1:], from.addr), asking: words[0] == "ASK"}
	_, _, err = net.SplitHostPort(to.addr)
	return to, err == nil
}
