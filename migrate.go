package fanfare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// Errors of a migration, which those of [Migration.Bridge] and [Migration.Move]
// wrap.
var (
	ErrNotACopy = migrate.ErrNotACopy // the new bus carries something that is no copy
	ErrMoved    = migrate.ErrMoved    // the new bus has taken over already
	ErrNoBridge = migrate.ErrNoBridge // nothing shows that a bridge copies now
)

// A MigrationConfig says what is moved from where to where. All fields but Topic
// are required.
type MigrationConfig struct {
	From, To string   // the old bus and the new one, as URLs; both must keep logs
	Systems  []string // names of the systems that are moved
	Topic    string   // template of topic names, as in Config.Topic; empty: fanfare.{system}
}

// A Migration moves systems from one bus to another while both are in use;
// docs/moving.md tells how. It is safe for concurrent use.
type Migration struct {
	from, to *transport.Transport
	systems  []string
	topics   []string // of the systems, in the same order
	log      *slog.Logger
}

// migrationPublishTimeout is how long one publish of a migration may wait for
// the bus. It is longer than a node's, for which a client waits.
const migrationPublishTimeout = 5 * time.Second

// NewMigration opens both buses, without waiting for them. If one of them keeps
// no log, it returns an error that wraps domain.ErrUnsupported. The caller closes
// the Migration.
func NewMigration(ctx context.Context, cfg MigrationConfig, opts ...Option) (*Migration, error) {
	o := newOptions(opts)
	topics, err := cfg.topics()
	if err != nil {
		return nil, err
	}
	tc := transport.Config{
		PublishTimeout: migrationPublishTimeout,
		PublishOnly:    true,
		NoNumbers:      true, // a migration publishes copies, which are not numbered anew
	}
	from, to, err := openBoth(ctx, cfg.From, cfg.To, tc, o)
	if err != nil {
		return nil, err
	}
	m := &Migration{from: from, to: to, systems: cfg.Systems, topics: topics, log: o.log}
	if !from.Guarantees().Log || !to.Guarantees().Log {
		err := fmt.Errorf("only buses that keep a log can be moved: %w", domain.ErrUnsupported)
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Bridge copies the systems' messages from the old bus to the new one, in
// order, until ctx ends; then it returns nil. While a bus is down it waits. It
// can be stopped at any time and started again anywhere, since its checkpoint is
// on the new bus. If the new bus carries anything else before it has taken over,
// Bridge ends with [ErrNotACopy].
func (m *Migration) Bridge(ctx context.Context) error {
	b, err := migrate.NewBridge(m.from, m.to, migrate.BridgeConfig{Logger: m.log})
	if err != nil {
		return err
	}
	return b.Run(ctx, m.topics...)
}

// Move lets the new bus take over, one system after the other, and calls moved
// with the name of each as soon as it has; a system that was moved before counts
// as such. Before the first system moves, a running [Migration.Bridge] must prove
// for every system that it copies it, and before each system moves once more for
// that one; without a proof the error is [ErrNoBridge]. Move takes no longer than
// ctx lasts. A system stays on the old bus if Move fails before the old bus was
// told that the system leaves.
func (m *Migration) Move(ctx context.Context, moved func(system string)) error {
	if len(m.topics) > 1 { // for a single system the proof that CutOver asks for is enough
		if err := m.prove(ctx); err != nil {
			return err
		}
	}
	for i, topic := range m.topics {
		err := migrate.CutOver(ctx, m.from, m.to, topic)
		if err != nil && !errors.Is(err, ErrMoved) {
			return err
		}
		moved(m.systems[i])
	}
	return nil
}

// proveAtOnce is how many systems are proven at the same time.
const proveAtOnce = 16

// prove waits for the proof that a bridge copies each of the systems. The error
// names those that none copies.
func (m *Migration) prove(ctx context.Context) error {
	faults := make([]error, len(m.topics))
	var work errgroup.Group
	work.SetLimit(proveAtOnce)
	for i, topic := range m.topics {
		work.Go(func() error {
			if err := migrate.Prove(ctx, m.from, m.to, topic); !errors.Is(err, ErrMoved) {
				faults[i] = err
			}
			return nil
		})
	}
	_ = work.Wait() // no function returns an error
	return errors.Join(faults...)
}

// Close closes both buses, and returns what went wrong.
func (m *Migration) Close() error { return errors.Join(m.from.Close(), m.to.Close()) }

// topics returns the systems' topics, in the same order.
func (cfg MigrationConfig) topics() (names []string, err error) {
	template := cfg.Topic
	defaults.Set(&template, DefaultConfig().Topic)
	topics, err := domain.ParseTopics(template)
	if err != nil {
		return nil, err
	}
	if len(cfg.Systems) == 0 {
		return nil, fmt.Errorf("systems: name those that are to be moved: %w", domain.ErrInvalid)
	}
	for _, name := range cfg.Systems {
		s, err := domain.ParseSystem(name)
		if err != nil {
			return nil, domain.At("systems", err)
		}
		names = append(names, topics.Topic(s))
	}
	return names, nil
}
