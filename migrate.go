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
)

// Errors of a move.
var (
	ErrNotACopy = migrate.ErrNotACopy // the new bus carries something that is no copy
	ErrMoved    = migrate.ErrMoved    // the new bus has taken over already
	ErrNoBridge = migrate.ErrNoBridge // nothing shows that a bridge copies now
)

// A MigrationConfig says what is moved. All but Topic is needed.
type MigrationConfig struct {
	From, To string   // the buses, as URLs; both must keep logs
	Systems  []string // those that are moved
	Topic    string   // template of topic names; default fanfare.{system}
}

// A Migration moves systems from one bus to another while both are in use:
// docs/moving.md tells how. It is safe for concurrent use.
type Migration struct {
	from, to *transport.Transport
	systems  []string
	topics   []string
	log      *slog.Logger
}

// moveTimeout is how long one publish of a move may take.
const moveTimeout = 5 * time.Second

// NewMigration opens both buses, without waiting for them. The caller closes
// it.
func NewMigration(ctx context.Context, cfg MigrationConfig, opts ...Option) (*Migration, error) {
	o := newOptions(opts)
	topics, err := cfg.topics()
	if err != nil {
		return nil, err
	}
	tc := transport.Config{PublishTimeout: moveTimeout, PublishOnly: true, NoNumbers: true}
	from, to, err := openBoth(ctx, cfg.From, cfg.To, tc, o)
	if err != nil {
		return nil, err
	}
	r := &Migration{from: from, to: to, systems: cfg.Systems, topics: topics, log: o.log}
	if !from.Guarantees().Log || !to.Guarantees().Log {
		return nil, errors.Join(fmt.Errorf("only buses that keep a log can be moved: %w", domain.ErrUnsupported), r.Close())
	}
	return r, nil
}

// Bridge copies the systems' messages from the old bus to the new one, in
// order, until ctx ends; then it returns nil. It can be stopped and started
// again anywhere; its checkpoint is on the new bus. While a bus is down it
// waits. It ends with ErrNotACopy if the new bus carries anything else before it
// has taken over.
func (m *Migration) Bridge(ctx context.Context) error {
	b, err := migrate.NewBridge(m.from, m.to, migrate.BridgeConfig{Logger: m.log})
	if err != nil {
		return err
	}
	return b.Run(ctx, m.topics...)
}

// Move lets the new bus take over, system by system, and calls moved with each
// as soon as it has; a system that was moved before counts as such. Before the
// first of them moves, a Bridge must prove for each that it copies the system
// now, and once more for each before it moves: ErrNoBridge. It is bounded by ctx,
// and a system for which it fails before the old bus was told to end stays where
// it is.
func (m *Migration) Move(ctx context.Context, moved func(system string)) error {
	if len(m.topics) > 1 { // of one alone Leave asks for the proof
		if err := m.prove(ctx); err != nil {
			return err
		}
	}
	for i, topic := range m.topics {
		if err := migrate.CutOver(ctx, m.from, m.to, topic); err != nil && !errors.Is(err, ErrMoved) {
			return err
		}
		moved(m.systems[i])
	}
	return nil
}

// proveAtOnce is of how many systems a proof is awaited at the same time.
const proveAtOnce = 16

// prove says which systems no bridge copies.
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
	_ = work.Wait() // nobody fails
	return errors.Join(faults...)
}

// Close closes both buses.
func (m *Migration) Close() error { return errors.Join(m.from.Close(), m.to.Close()) }

func (cfg MigrationConfig) topics() (all []string, err error) {
	template := cfg.Topic
	fill(&template, DefaultConfig().Topic)
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
		all = append(all, topics.Topic(s))
	}
	return all, nil
}
