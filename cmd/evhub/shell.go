package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// words gives the beginning of a command line that starts this program again the way it was started: "go run ./cmd/evhub" from within the
// source tree, else the name or path as it was typed. executable is where the program lies, dir the working directory.
func words(invoked, executable, dir string) []string {
	const pkg = "./cmd/evhub"
	if isGoRun(executable) {
		if info, err := os.Stat(filepath.Join(dir, pkg)); err == nil && info.IsDir() {
			return []string{"go", "run", pkg}
		}
	}
	return []string{invoked}
}

// cached is a directory of go's build cache, where "go run" finds the program from the second time on.
var cached = regexp.MustCompile(`^[0-9a-f]{64}-d$`)

// isGoRun tells a program built by "go run": below a temporary directory go-build123/b001/exe, or in the build cache.
func isGoRun(executable string) bool {
	dir := filepath.Dir(executable)
	if cached.MatchString(filepath.Base(dir)) {
		return true
	}
	above := filepath.Base(filepath.Dir(filepath.Dir(dir)))
	return filepath.Base(dir) == "exe" && strings.HasPrefix(above, "go-build")
}

// commandLine writes words so that the usual shell of an operating system takes them apart again: sh, or PowerShell 7 on Windows.
func commandLine(goos string, words ...string) string {
	if goos == "windows" {
		return powerShell(words)
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !plain.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// plain words mean the same to every shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:-]+$`)

func powerShell(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !plain.MatchString(strings.ReplaceAll(w, `\`, "/")) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", "''") + "'"
		}
	}
	if quoted[0] != words[0] {
		quoted[0] = "& " + quoted[0] // else a quoted path is a text, not a command
	}
	return strings.Join(quoted, " ")
}
