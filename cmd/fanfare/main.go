// Command fanfare is a Fanfare node, and the tools around it: `fanfare --help`
// lists them.
//
// It exits with 0 when all went well, with 1 when something failed while it was
// running, and with 2 when it could not start: wrong usage, wrong settings, a port
// in use. Commands to all nodes, such as `fanfare disconnect`, exit with 3 when some node
// has not said in time that it has done what was asked.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// version is set by the linker; see the Makefile.
var version = ""

func main() {
	redis.SetLogger(silence{})
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), name: os.Args[0]}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// A silence replaces the logger of the Redis client, of which a process has one.
// The client logs errors that it returns, too; we log those where we know what
// they are about.
type silence struct{}

// Printf is the one method of the Redis client's logger.
func (silence) Printf(context.Context, string, ...any) {}

// untilSignal returns a context that ends with the first signal to stop. A second
// signal has its usual effect and ends the process at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// An app is what the commands get from their process.
type app struct {
	in       io.Reader
	out, err io.Writer
	environ  []string // as os.Environ returns it
	name     string   // how the command was called, for examples that can be copied
}

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(a.err, "fanfare: "+strings.TrimRight(line, "\n"))
	}
	if errors.As(err, new(*pending)) {
		return 3
	}
	if errors.As(err, new(failure)) {
		return 1
	}
	return 2
}

// A failure is an error that happened while a command was running: run returns 1
// for it. Every other error kept the command from starting.
type failure struct{ error }

// Unwrap returns the error.
func (f failure) Unwrap() error { return f.error }

// failed makes a failure of an error; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "fanfare",
		Short:   "Push messages to people, over whatever bus you run",
		Version: versionText(),
		Long: `Fanfare pushes messages to people. A service publishes a message for a user once;
every node hears it on the bus; the node that holds a session of that user delivers it.`,
		Example: `  fanfare dev                                          # an unprotected node, to try things out
  fanfare listen --user alice --systems orders         # what alice receives from it
  fanfare publish --system orders --to user:alice --data '{"n":1}'
  fanfare serve --config fanfare.yaml                  # a real node`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Args = func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) }
	root.SetVersionTemplate("fanfare {{.Version}}\n") // what `fanfare version` prints
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Nodes:", []*cobra.Command{a.serve(), a.dev(), a.health(), a.config(), a.bridge(), a.move()}},
		{"Messages:", []*cobra.Command{
			a.publish(), a.listen(), a.watch(), a.inbound(), a.webhook(), a.bench(),
		}},
		{"Who is there, and who must go:", []*cobra.Command{
			a.who(), a.sessions(), a.members(), a.disconnect(), a.block(), a.unblock(), a.revoke(), a.nodes(),
			a.rebalance(),
		}},
		{"Tokens and keys:", []*cobra.Command{a.token(), a.key()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
		}
		root.AddCommand(g.commands...)
	}
	root.AddCommand(a.version())
	return root
}

// unknownCommand refuses arguments of a command that has only subcommands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q%s", args[0], settings.Suggest(args[0], names))
}

// flagError adds the nearest flag to pflag's complaint about an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	flag := "--" + unknown.GetSpecifiedName()
	return fmt.Errorf("unknown flag %s%s", flag, settings.Suggest(flag, names))
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  flagsOnly,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(a.out, "fanfare "+versionText()) },
	}
}

// versionText returns the version: the linked one, that of the module when it was
// built with `go install`, or "devel".
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// env returns the environment variable FANFARE_name, "" if it is not set.
func (a *app) env(name string) string {
	for _, pair := range a.environ {
		if value, ok := strings.CutPrefix(pair, settings.EnvPrefix+name+"="); ok {
			return value
		}
	}
	return ""
}
