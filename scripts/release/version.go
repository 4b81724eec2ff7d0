package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A repository is the directory of one.
type repository string

// A place is where a file names the version: what matches before and after it.
type place struct{ file, before, after string }

// places are where the version is named beside CHANGELOG.md. A file that is not there is
// passed over; one that is there has to have the line.
var places = []place{
	{"clients/js/package.json", `(?m)^  "version": "`, `",$`},
	{"clients/js/package-lock.json", `^\{\s+"name": "[^"]+",\s+"version": "`, `",\n`},
	{"clients/js/package-lock.json", `\n    "": \{\s+"name": "[^"]+",\s+"version": "`, `",\n`},
	{"clients/python/pyproject.toml", `(?m)^version = "`, `"$`},
	{"deploy/helm/fanfare/Chart.yaml", `(?m)^version: "?`, `"?$`},
	{"deploy/helm/fanfare/Chart.yaml", `(?m)^appVersion: "?v?`, `"?$`},
}

const number = `\d+\.\d+\.\d+`

// newest matches where CHANGELOG.md says which version is being made or, once that is
// released, its heading.
var newest = regexp.MustCompile(`(?m)^(?:The next version is |## \[)(` + number + `)`)

// version returns the version that CHANGELOG.md names.
func (r repository) version() (string, error) {
	text, err := r.read("CHANGELOG.md")
	if err != nil {
		return "", err
	}
	found := newest.FindStringSubmatch(text)
	if found == nil {
		return "", errors.New("CHANGELOG.md names no version")
	}
	return found[1], nil
}

// faults returns where another version is named than that of CHANGELOG.md.
func (r repository) faults() error {
	version, err := r.version()
	if err != nil {
		return err
	}
	return r.eachPlace(func(p place, text string, at []int) error {
		if got := text[at[2]:at[3]]; got != version {
			return fmt.Errorf("%s has version %s, CHANGELOG.md %s", p.file, got, version)
		}
		return nil
	})
}

// set writes a version into CHANGELOG.md and all places.
func (r repository) set(version string) error {
	if !regexp.MustCompile("^" + number + "$").MatchString(version) {
		return fmt.Errorf("%q is no version: want one such as 0.2.0", version)
	}
	text, err := r.read("CHANGELOG.md")
	if err != nil {
		return err
	}
	if next := regexp.MustCompile(`(?m)^The next version is ` + number); next.MatchString(text) {
		text = next.ReplaceAllLiteralString(text, "The next version is "+version)
	} else if _, err := r.notes(version); err != nil {
		return fmt.Errorf("say in CHANGELOG.md that \"The next version is %s.\", or give it a heading", version)
	}
	if err := r.write("CHANGELOG.md", text); err != nil {
		return err
	}
	return r.eachPlace(func(p place, text string, at []int) error {
		return r.write(p.file, text[:at[2]]+version+text[at[3]:])
	})
}

// eachPlace calls do for each place, with where the version is in the text of its file:
// from at[2] to at[3]. The errors are joined.
func (r repository) eachPlace(do func(p place, text string, at []int) error) error {
	var faults []error
	for _, p := range places {
		text, err := r.read(p.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		at := regexp.MustCompile(p.before + `(` + number + `)` + p.after).FindStringSubmatchIndex(text)
		if at == nil {
			faults = append(faults, fmt.Errorf("%s: no version is where it should be", p.file))
			continue
		}
		faults = append(faults, do(p, text, at))
	}
	return errors.Join(faults...)
}

// notes returns what stands under the heading of a version in CHANGELOG.md.
func (r repository) notes(version string) (string, error) {
	text, err := r.read("CHANGELOG.md")
	if err != nil {
		return "", err
	}
	heading := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(version) + `\].*\n`)
	at := heading.FindStringIndex(text)
	if at == nil {
		return "", fmt.Errorf("CHANGELOG.md has no heading \"## [%s]\"", version)
	}
	notes, _, _ := strings.Cut(text[at[1]:], "\n## ")
	notes, _, _ = strings.Cut(notes, "\n[") // the links at the end of the file
	return strings.TrimSpace(notes) + "\n", nil
}

// check says whether a tag may be released.
func (r repository) check(tag string) error {
	version, err := r.version()
	if err != nil {
		return err
	}
	if tag != "v"+version {
		return fmt.Errorf("the tag is %q, but CHANGELOG.md says %s", tag, version)
	}
	_, err = r.notes(version)
	return errors.Join(err, r.faults())
}

func (r repository) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(string(r), name))
	return string(text), err
}

func (r repository) write(name, text string) error {
	return os.WriteFile(filepath.Join(string(r), name), []byte(text), 0o644)
}
