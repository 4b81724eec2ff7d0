package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// A room is what the flags of `fanfare members` name.
type room struct{ system, name string }

func (r *room) flags(f *pflag.FlagSet) {
	f.StringVar(&r.system, "system", "", "the system")
	f.StringVar(&r.name, "room", "", "the room")
}

func (r *room) check() error {
	if err := checkSystem(r.system); err != nil {
		return err
	}
	return checkName("--room", r.name)
}

// path returns the segments of the path of the room's members, or of one of them.
func (r *room) path(user ...string) []string {
	return append([]string{"systems", r.system, "rooms", r.name, "members"}, user...)
}

func (r *room) String() string { return r.system + "/" + printable(r.name) }

func (a *app) members() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Put users into a room, and take them out",
		Long: `Puts users into rooms from the server's side: all sessions of a member that are attached to the system,
present and future, are in the room. The API key needs the scope members/SYSTEM.`,
		Example: `  fanfare members add alice --system chat --room lobby
  fanfare members list --system chat --room lobby`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listMembers(), a.addMember(), a.removeMember())
	return cmd
}

func (a *app) addMember() *cobra.Command {
	var o order
	var r room
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "add USER",
		Short: "Put a user into a room",
		Long: `Puts a user into a room until the membership ends. A second membership of the same room replaces the
first.` + codes,
		Example: `  fanfare members add alice --system chat --room lobby --ttl 24h`,
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := ttlSeconds(ttl)
			if err != nil {
				return err
			}
			return a.changeMember(cmd.Context(), o, r, "add", args[0], client.Request{
				Method: http.MethodPut,
				Body: struct {
					TTL *int64 `json:"ttl,omitempty"`
				}{seconds},
			})
		},
	}
	f := cmd.Flags()
	o.flags(f)
	r.flags(f)
	f.DurationVar(&ttl, "ttl", 0, "how long the user is a member; 0: 366 days, which is the most")
	return cmd
}

func (a *app) removeMember() *cobra.Command {
	var o order
	var r room
	cmd := &cobra.Command{
		Use:   "remove USER",
		Short: "Take a user out of a room",
		Long: `Ends a membership at once. A session that joined the room by itself stays in. That the user was no
member is no error.` + codes,
		Example: `  fanfare members remove alice --system chat --room lobby`,
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeMember(cmd.Context(), o, r, "remove", args[0], client.Request{
				Method: http.MethodDelete,
			})
		},
	}
	o.flags(cmd.Flags())
	r.flags(cmd.Flags())
	return cmd
}

// changeMember makes a user a member, or no member.
func (a *app) changeMember(
	ctx context.Context, o order, r room, verb, user string, req client.Request,
) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := checkName("USER", user); err != nil {
		return err
	}
	req.Path = r.path(user)
	return a.give(ctx, o, fmt.Sprintf("%s %s, %v", verb, printable(user), &r), req)
}

func (a *app) listMembers() *cobra.Command {
	var remote remote
	var r room
	var p pager
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print the members of a room",
		Long: `Prints the users whom the server has put into a room, and until when they are members. With --json
each page of the answer is one line.`,
		Example: `  fanfare members list --system chat --room lobby
  fanfare members list --system chat --room lobby --all --json`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.check(); err != nil {
				return err
			}
			if err := p.check(); err != nil {
				return err
			}
			return a.printMembers(cmd.Context(), remote, r, p)
		},
	}
	f := cmd.Flags()
	remote.flags(f)
	r.flags(f)
	p.flags(f)
	return cmd
}

// printMembers prints the members of a room.
func (a *app) printMembers(ctx context.Context, remote remote, r room, p pager) error {
	show := true
	rows, more, err := p.pages(func(after string) (page, error) {
		var got struct {
			Members []struct {
				User    string
				Expires time.Time
			}
			Next string
		}
		var err error
		show, err = a.ask(ctx, remote, client.Request{
			Method: http.MethodGet, Path: r.path(),
			Query: map[string]string{"after": after, "limit": fmt.Sprint(p.limit)},
		}, &got)
		part := page{next: got.Next}
		for _, m := range got.Members {
			part.rows = append(part.rows, []string{printable(m.User), moment(m.Expires)})
		}
		return part, err
	})
	switch {
	case err != nil || !show:
		return err
	case len(rows) == 0:
		_, err = fmt.Fprintf(a.out, "no members in %v\n", &r)
	default:
		err = a.table([]string{"USER", "UNTIL"}, rows)
	}
	if more {
		fmt.Fprintln(a.err, "fanfare: there are more: see --all and --after")
	}
	return failed(err)
}
