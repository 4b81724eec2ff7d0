package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

// A component is one in a list of CycloneDX 1.5.
type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// module returns the component of a module.
func module(kind, path, version string) component {
	purl := "pkg:golang/" + path + "@" + version
	return component{Type: kind, Ref: purl, Name: path, Version: version, PURL: purl}
}

// billOfMaterials lists what a command is made of, by what its linker has written into
// it, as CycloneDX 1.5 in JSON.
func billOfMaterials(binary, version string, info *debug.BuildInfo) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	command := module("application", info.Main.Path, version)
	command.Hashes = []hash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(content))}}
	parts := []component{module("library", "stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range used(info) {
		parts = append(parts, module("library", m.Path, m.Version))
	}
	needs := dependency{Ref: command.Ref}
	for _, p := range parts {
		needs.DependsOn = append(needs.DependsOn, p.Ref)
	}
	list := struct {
		Format       string         `json:"bomFormat"`
		Spec         string         `json:"specVersion"`
		Version      int            `json:"version"`
		Metadata     map[string]any `json:"metadata"`
		Components   []component    `json:"components"`
		Dependencies []dependency   `json:"dependencies"`
	}{"CycloneDX", "1.5", 1, map[string]any{"component": command}, parts, []dependency{needs}}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(list)
	return b.Bytes(), err
}

// licence matches the names of files that a copy of a module has to come with.
var licence = regexp.MustCompile(`(?i)^(LICEN[SC]E|COPYING|NOTICE)([.-].*)?$`)

// writeLicences writes a file with the licences of all modules that are in a command.
func writeLicences(ctx context.Context, name string, info *debug.BuildInfo) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "The command fanfare contains these modules and the standard library of Go.\n")
	root, err := output(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	if err := addLicences(&b, "The standard library of Go", root); err != nil {
		return err
	}
	for _, m := range used(info) {
		dir, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", m.Path)
		if err != nil {
			return err
		}
		if err := addLicences(&b, m.Path+" "+m.Version, dir); err != nil {
			return err
		}
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

func addLicences(b *bytes.Buffer, title, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := 0
	for _, e := range entries {
		if e.IsDir() || !licence.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found++
		fmt.Fprintf(b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), title, e.Name(), bytes.TrimSpace(text))
	}
	if found == 0 {
		return fmt.Errorf("%s: no licence in %s", title, dir)
	}
	return nil
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
