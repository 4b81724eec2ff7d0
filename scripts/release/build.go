package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"debug/buildinfo"
)

// all are the platforms that a release has archives for.
var all = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}

// build makes the archives of a version in a directory, which it empties first: for each
// platform fanfare_VERSION_OS_ARCH.tar.gz and beside it a list of what the command in it
// is made of (.cdx.json, CycloneDX); and SHA256SUMS, which names all of these. The same
// commit and version of Go make the same bytes.
func build(ctx context.Context, dir, version string, platforms []string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	when, err := commitTime(ctx)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, platform := range platforms {
		goos, arch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q is no platform: want one such as linux/amd64", platform)
		}
		name := fmt.Sprintf("fanfare_%s_%s_%s", version, goos, arch)
		if err := pack(ctx, dir, name, version, goos, arch, when); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		for _, file := range []string{name + ".tar.gz", name + ".cdx.json"} {
			content, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), file)
			fmt.Println(filepath.Join(dir, file))
		}
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// pack makes the archive for one platform, and the list of what is in it.
func pack(ctx context.Context, dir, name, version, goos, arch string, when time.Time) error {
	work, err := os.MkdirTemp("", "fanfare-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, "fanfare")
	compile := exec.CommandContext(ctx, "go", "build", "-trimpath",
		"-ldflags", "-s -w -X main.version=v"+version, "-o", binary, "./cmd/fanfare")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	list, err := billOfMaterials(binary, "v"+version, info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".cdx.json"), list, 0o644); err != nil {
		return err
	}
	third := filepath.Join(work, "THIRD-PARTY")
	if err := writeLicences(ctx, third, info); err != nil {
		return err
	}
	return archive(filepath.Join(dir, name+".tar.gz"), name, when,
		binary, third, "README.md", "LICENSE", "CHANGELOG.md", "deploy/fanfare.yaml")
}

// archive writes files into one directory of an archive. Times and owners are the same
// whenever and by whomever it is made.
func archive(name, inside string, when time.Time, files ...string) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close() // the second time does nothing
	zip := gzip.NewWriter(out)
	t := tar.NewWriter(zip)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Name: inside + "/" + filepath.Base(file), Mode: 0o644, Size: int64(len(content)), ModTime: when,
		}
		if filepath.Base(file) == "fanfare" {
			header.Mode = 0o755
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(content); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return out.Close()
}

// commitTime returns when the commit was made that is released.
func commitTime(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("git log: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// used returns the modules of which there is something in a command, as they were used.
func used(info *debug.BuildInfo) (modules []debug.Module) {
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules = append(modules, *m)
	}
	return modules
}
