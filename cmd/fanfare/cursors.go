package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fanfarebus/fanfare/client"
)

// saveEvery is how often cursors are saved at most, but for the end.
const saveEvery = time.Second

// A cursorFile keeps the cursors of a client, as a JSON object by system. Those
// of systems that the client is not attached to are kept as they are.
type cursorFile struct {
	path  string
	saved map[string]string // what the file holds
}

// openCursors reads the file, or makes it if there is none. It fails where the
// file could not be written later.
func openCursors(path string) (*cursorFile, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays one
	}
	f := &cursorFile{path: path, saved: map[string]string{}}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("--resume: %w", err)
	case json.Unmarshal(text, &f.saved) != nil || f.saved == nil:
		return nil, fmt.Errorf("--resume: %s: want a JSON object of cursors by system", path)
	}
	return f, f.write()
}

func (f *cursorFile) cursors() map[string]string { return maps.Clone(f.saved) }

// follow runs the client, and keeps the file near to what its handler is done
// with. Whoever starts again from it may see a second's messages again, and
// misses none.
func (f *cursorFile) follow(ctx context.Context, c *client.Client) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	saving := make(chan error, 1)
	go func() {
		defer stop() // without a place to keep them, cursors are lost
		saving <- f.keep(ctx, c)
	}()
	err := c.Run(ctx)
	stop()
	if failed := <-saving; failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(err, f.save(c.Cursors()))
}

// keep saves until ctx ends, or until it fails.
func (f *cursorFile) keep(ctx context.Context, c *client.Client) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := f.save(c.Cursors()); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// save writes the file if there is something new.
func (f *cursorFile) save(cursors map[string]string) error {
	next := f.cursors()
	maps.Copy(next, cursors)
	if maps.Equal(next, f.saved) {
		return nil
	}
	f.saved = next
	return f.write()
}

// write replaces the file as a whole: whoever reads it, even after a crash,
// finds the old cursors or the new ones.
func (f *cursorFile) write() (err error) {
	text, err := json.Marshal(f.saved)
	if err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(f.path)+".*")
	if err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
			err = fmt.Errorf("--resume: %w", err)
		}
	}()
	_, err = next.Write(append(text, '\n'))
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}
