// Command release makes what a release of Fanfare consists of. Run it at the top of the
// repository:
//
//	go run ./scripts/release version          # print the version that is being made, or was made last
//	go run ./scripts/release set 0.2.0        # write that version into all files that have to name it
//	go run ./scripts/release check v0.2.0     # does that tag fit: CHANGELOG.md, the files, the heading?
//	go run ./scripts/release notes            # what CHANGELOG.md says of the version
//	go run ./scripts/release build [OS/ARCH]  # archives, lists of what is in them, checksums, in dist/
//
// The version is in one place, CHANGELOG.md; the other files follow it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return errors.New("want version, set, check, notes or build: see the comment in scripts/release/main.go")
	}
	r, argument := repository("."), strings.Join(args[1:], "")
	version, err := r.version()
	if err != nil {
		return err
	}
	switch args[0] {
	case "version":
		fmt.Println(version)
	case "set":
		return r.set(argument)
	case "check":
		return r.check(argument)
	case "notes":
		notes, err := r.notes(version)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n[What to do when upgrading]"+
			"(https://github.com/fanfarebus/fanfare/blob/v%s/docs/operating.md#upgrading)\n", notes, version)
	case "build":
		platforms := all
		if argument != "" {
			platforms = []string{argument}
		}
		return build(ctx, "dist", version, platforms)
	default:
		return fmt.Errorf("there is no %q", args[0])
	}
	return nil
}
