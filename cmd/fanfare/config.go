package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// withSettings gives a command the flag --config, and a flag for each setting, or
// for each of those with the given keys.
func withSettings(cmd *cobra.Command, only ...string) *cobra.Command {
	cmd.Flags().String("config", "", "YAML file with settings (or FANFARE_CONFIG)")
	settings.AddFlags(cmd.Flags(), only...)
	return cmd
}

// load reads the settings of a command that withSettings made.
func (a *app) load(cmd *cobra.Command) (*settings.Settings, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	return settings.Load(settings.Sources{
		File:    cmp.Or(path, a.env("CONFIG")),
		Environ: a.environ,
		Flags:   cmd.Flags(),
	})
}

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or print a node's settings, or write a file with all of them",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(withSettings(a.configCheck()), withSettings(a.configPrint()), a.configSample())
	return cmd
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether a node would start with these settings",
		Long: "Reads the settings as `fanfare serve` does and names everything that is wrong " +
			"with them. It does not wait for the bus.",
		Example: `  fanfare config check --config fanfare.yaml
  FANFARE_TRANSPORT=redis://localhost:6379/0 fanfare config check --config fanfare.yaml`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			// A node is made, but not run: New also checks the URL of the bus.
			node, err := fanfare.New(cmd.Context(), s.Config)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, "the settings are good")
			return node.Close()
		},
	}
}

func (a *app) configPrint() *cobra.Command {
	return &cobra.Command{
		Use:   "print",
		Short: "Print the effective settings and where each comes from",
		Long: "Prints every setting as it takes effect, with where it comes from: a flag, " +
			"the environment, the file, or the default. Secrets are hidden.",
		Example: "  fanfare config print --config fanfare.yaml --drain 30s",
		Args:    flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			fmt.Fprint(a.out, s)
			return nil
		},
	}
}

func (a *app) configSample() *cobra.Command {
	return &cobra.Command{
		Use:     "sample",
		Short:   "Print a file that has every setting, with its meaning and its default",
		Example: "  fanfare config sample > fanfare.yaml",
		Args:    flagsOnly,
		Run:     func(*cobra.Command, []string) { fmt.Fprint(a.out, settings.Sample()) },
	}
}
