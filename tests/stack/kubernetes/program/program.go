// Package program makes one program of several parts. It is the part that it is called as (`kube-apiserver FLAGS`, by a link of that
// name) or that its first argument names (`kubernetes kube-apiserver FLAGS`).
package program

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
)

// Run is the program `name`. A part is made only when it is called: making one registers flags, feature gates and metrics that belong
// to the whole process.
func Run(name string, parts map[string]func()) {
	run, found := parts[filepath.Base(os.Args[0])]
	if !found && len(os.Args) > 1 {
		// the parts read os.Args themselves
		os.Args = os.Args[1:]
		run, found = parts[os.Args[0]]
	}
	if !found {
		names := strings.Join(slices.Sorted(maps.Keys(parts)), "|")
		fmt.Fprintf(os.Stderr, "usage: %s %s FLAGS...\n", name, names)
		os.Exit(2)
	}
	run()
}

// Command is a part that is one of Kubernetes' own commands.
func Command(build func() *cobra.Command) func() {
	return func() { os.Exit(cli.Run(build())) }
}
