package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// flagsOnly refuses arguments of a command that takes only flags.
func flagsOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q is not a flag, and `%s` takes flags only: see --help", args[0], cmd.CommandPath())
}

// oneUser wants the name of a user as the one argument.
func oneUser(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("want the name of a user as USER")
	}
	return upToOneUser(nil, args)
}

// upToOneUser refuses a second user. A name with a space is quoted in a shell.
func upToOneUser(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("want one USER, not %d: quote a name that has spaces", len(args))
	}
	return nil
}

// oneNode wants the name of a node as the one argument.
func oneNode(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the name of one node as NODE, not %d: `fanfare nodes` lists them", len(args))
	}
	return nil
}
