package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A null is a value that a file has as null or ~.
type null string

func fromFile(src Sources) (layer, error) {
	l := layer{map[string]any{}, func(string) string { return "file " + src.File }}
	if src.File == "" {
		return l, nil
	}
	text, err := os.ReadFile(src.File)
	if err == nil {
		err = readYAML(text, l.values)
	}
	if err != nil {
		return layer{}, fmt.Errorf("config file %s: %w", src.File, plain(err))
	}
	return l, nil
}

// plain removes the path, which the caller names, from a file's error.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// readYAML puts the settings of a file into values, each as the text that is in
// the file: what YAML takes 007, 1e3, yes or 12:30:45 for does not count.
func readYAML(text []byte, values map[string]any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // empty, or all of it commented out
	case err != nil:
		return cleaned(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return cleaned(err)
		}
		return errors.New("has several documents: keep one")
	}
	root := doc.Content[0]
	if isNull(root) {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want settings, such as listen: 127.0.0.1:8080", root.Line)
	}
	return section(root, "", values)
}

// cleaned removes from an error of the YAML parser its prefix, and what it quotes
// of the file, in which there may be a secret.
func cleaned(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	switch {
	case strings.Contains(text, "anchor"):
		text = "an alias without its anchor; quote what begins with *"
	case strings.HasSuffix(text, "did not find expected alphabetic or numeric character"):
		text += ": quote what begins with * or &"
	case strings.HasSuffix(text, "found character that cannot start any token"):
		text += ": indent with spaces, and quote what begins with @, % or `"
	}
	return errors.New("no YAML: " + strings.TrimSpace(text))
}

// section reads a mapping. The settings in it have names that begin with prefix.
func section(m *yaml.Node, prefix string, values map[string]any) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		name, value := m.Content[i], m.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
			return fmt.Errorf("line %d: want a setting's name", name.Line)
		}
		key := prefix + name.Value
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			if err := section(value, key+".", values); err != nil {
				return err
			}
			continue
		}
		if _, twice := values[key]; twice {
			return fmt.Errorf("line %d: %s is there twice: keep one", name.Line, key)
		}
		read, err := written(value)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", value.Line, key, err)
		}
		values[key] = read
	}
	return nil
}

// written returns a scalar's text, a list of such, or nil for nothing.
func written(n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode {
		if n.Alias.Kind != yaml.ScalarNode {
			return nil, errors.New("an alias stands for one value only: write it out")
		}
		n = n.Alias
	}
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		return nil, errors.New("has a tag: leave it away, or quote what begins with \"!\"")
	case n.Kind == yaml.SequenceNode:
		all := []any{}
		for _, item := range n.Content {
			text, err := written(item)
			if err != nil {
				return nil, err
			}
			all = append(all, text)
		}
		return all, nil
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return nil, nil
	case n.Kind == yaml.MappingNode:
		return n.Content, nil // in a list, where set refuses it
	case isNull(n) && n.Value == "":
		return nil, nil
	case isNull(n):
		return null(n.Value), nil
	case strings.Trim(n.Value, " \t") != n.Value:
		return nil, errors.New("begins or ends with a space")
	}
	return n.Value, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
