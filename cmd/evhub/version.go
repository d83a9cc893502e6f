package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// release is the version that make dist gives a binary through the linker; nothing else sets it. Empty: what go knows of the build counts.
var release string

// build says what this program was made from.
type build struct {
	Version string `json:"version"` // "devel" without one
	Commit  string `json:"commit,omitempty"`
	Dirty   bool   `json:"dirty,omitempty"` // with changes that are in no commit
	Go      string `json:"go"`
	System  string `json:"system"`
}

func buildOf() build {
	b := build{Version: cmp.Or(release, "devel"), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; release == "" && v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	parts := []string{"evhub", b.Version}
	if b.Commit != "" {
		parts = append(parts, b.Commit[:min(12, len(b.Commit))])
	}
	if b.Dirty {
		parts = append(parts, "with changes")
	}
	return strings.Join(append(parts, b.Go, b.System), " ")
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Say which build this is",
		Example: `  evhub version --json`,
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(a.out).Encode(buildOf())
			}
			_, err := fmt.Fprintln(a.out, buildOf())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}
