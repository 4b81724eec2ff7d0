package redisconn

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// An explainedError is an error reply of the server, with what an operator can do
// about it.
type explainedError struct {
	error
	advice string
}

func (e *explainedError) Error() string { return e.error.Error() + " (" + e.advice + ")" }
func (e *explainedError) Unwrap() error { return e.error }

// Explain adds to an error about a topic what an operator can do about it, if the server
// has replied that the user may not do something, that it does not know a command, or that
// it wants a login. It returns other errors, and nil, as they are. Without a topic, which
// is "", no key and no channel is named.
func (s *Server) Explain(topic string, err error) error { return s.login.explain(topic, err) }

// Explain is [Server.Explain] for an error of this connection.
func (c *Conn) Explain(topic string, err error) error { return c.login.explain(topic, err) }

func (l login) explain(topic string, err error) error {
	if err == nil {
		return nil // without the allocation that serverAnswer needs
	}
	answer, ok := serverAnswer(err)
	if !ok || errors.As(err, new(*explainedError)) {
		return err
	}
	if advice := l.advice(topic, answer); advice != "" {
		return &explainedError{err, advice}
	}
	return err
}

// ofTransaction begins a server's reply that refuses EXEC.
const ofTransaction = "EXECABORT Transaction discarded because of: "

// advice returns what an operator can do about an error reply; "" if the reply says
// enough.
func (l login) advice(topic, answer string) string {
	answer = strings.TrimPrefix(answer, ofTransaction)
	switch code, rest, _ := strings.Cut(answer, " "); {
	case code == "NOPERM":
		return fmt.Sprintf("allow it with: ACL SETUSER %s %s", cmp.Or(l.user, "default"), missingRight(topic, rest))
	case code == "NOAUTH":
		return "the URL needs a login: user:password@, or :password@ for the default user"
	case isUnknown(answer):
		return fmt.Sprintf("the server has %s disabled or renamed, or is older than Redis 7.0; "+
			"Fanfare needs it under its own name, so take rename-command out of the server's configuration "+
			"and limit who may use what with ACL instead", unknownCommand(rest))
	}
	return ""
}

// missingRight returns the rule of an ACL that gives what a server has refused with
// NOPERM. Servers name the command, such as 'xinfo|stream', but neither key nor channel.
func missingRight(topic, refusal string) string {
	command, named := quoted(refusal)
	switch {
	case named:
		return "+" + command
	case strings.Contains(refusal, "channel"):
		return "&" + cmp.Or(topic, "<channel>")
	}
	return "~" + cmp.Or(topic, "<key>")
}

// isUnknown reports whether an error reply says that the server does not know a command.
func isUnknown(answer string) bool {
	answer = strings.ToLower(answer)
	return strings.HasPrefix(answer, "err unknown command") || strings.HasPrefix(answer, "err unknown subcommand")
}

// unknownCommand returns the command that a server does not know. For a subcommand it says
// "unknown subcommand 'STREAM'. Try XINFO HELP."
func unknownCommand(refusal string) string {
	name, _ := quoted(refusal)
	if _, after, ok := strings.Cut(refusal, ". Try "); ok {
		command, _, _ := strings.Cut(after, " ")
		name = command + " " + name
	}
	return strings.ToUpper(cmp.Or(name, "the command"))
}

// quoted returns the first word that a text has in quotation marks.
func quoted(text string) (string, bool) {
	i := strings.IndexAny(text, "'`")
	if i < 0 {
		return "", false
	}
	word, _, ok := strings.Cut(text[i+1:], text[i:i+1])
	return word, ok && word != ""
}

// IsRefusal reports whether err is or wraps an error reply of this meaning: the server does
// not know the command, or the user may not use it on this key or channel.
func IsRefusal(err error) bool {
	answer, ok := serverAnswer(err)
	return ok && isRefusal(answer)
}

// isRefusal reports whether an error reply says that the server never does this for this
// user, unless somebody changes the server's configuration.
func isRefusal(answer string) bool {
	answer = strings.TrimPrefix(answer, ofTransaction)
	return strings.HasPrefix(answer, "NOPERM ") || isUnknown(answer)
}
