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

// saveEvery is how often cursors are saved while a client runs. They are saved
// once more at its end.
const saveEvery = time.Second

// A cursorFile keeps the cursors of a client in a file, as a JSON object by
// system. Cursors of systems that the client is not attached to stay in the file.
type cursorFile struct {
	path  string
	saved map[string]string // what the file holds
}

// openCursors reads the file, or makes it if it is missing. It returns an error if
// the file cannot be written.
func openCursors(path string) (*cursorFile, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // writing replaces the target, not the link to it
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

// cursors returns a copy of what the file holds.
func (f *cursorFile) cursors() map[string]string { return maps.Clone(f.saved) }

// follow runs the client, and saves the cursors of messages that its handler is
// done with. A client that resumes from the file after a crash may receive the
// messages of one second again, and misses none.
func (f *cursorFile) follow(ctx context.Context, c *client.Client) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	saving := make(chan error, 1)
	go func() {
		defer stop() // if cursors cannot be saved, the client ends
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

// save writes the file if a cursor has changed.
func (f *cursorFile) save(cursors map[string]string) error {
	next := f.cursors()
	maps.Copy(next, cursors)
	if maps.Equal(next, f.saved) {
		return nil
	}
	f.saved = next
	return f.write()
}

// write replaces the file as a whole, by way of a temporary file beside it. So
// a reader of the file finds the old cursors or the new ones, even after a crash.
func (f *cursorFile) write() error {
	text, err := json.Marshal(f.saved)
	if err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	dir := filepath.Dir(f.path)
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(f.path)+".*")
	if _, missing := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && errors.Is(missing, fs.ErrNotExist) {
		return fmt.Errorf("--resume: %s cannot be made: there is no directory %s", f.path, dir)
	}
	if err != nil {
		return f.unwritable(err)
	}
	_, err = temporary.Write(append(text, '\n'))
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return f.unwritable(err)
	}
	return nil
}

// unwritable says that the file cannot be written. It leaves out the names of
// temporary files, which the user has never heard of.
func (f *cursorFile) unwritable(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("--resume: %s cannot be written: %w", f.path, err)
}
