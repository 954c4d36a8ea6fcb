// Kubernetes is what the tests need of a cluster in one program: etcd, the API server and the controllers. It is the part that it is
// called as (`kube-apiserver FLAGS`, by a link of that name) or that its first argument names (`kubernetes kube-apiserver FLAGS`).
//
// One program, because the parts share nearly all of their code: it is compiled and linked once.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// A part is made only when it is called: making one registers flags, feature gates and metrics that belong to the whole process.
var parts = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          command(apiserver.NewAPIServerCommand),
	"kube-controller-manager": command(controllers.NewControllerManagerCommand),
}

func main() {
	run, found := parts[filepath.Base(os.Args[0])]
	if !found && len(os.Args) > 1 {
		// the parts read os.Args themselves
		os.Args = os.Args[1:]
		run, found = parts[os.Args[0]]
	}
	if !found {
		names := strings.Join(slices.Sorted(maps.Keys(parts)), "|")
		fmt.Fprintf(os.Stderr, "usage: kubernetes %s FLAGS...\n", names)
		os.Exit(2)
	}
	run()
}

func command(build func() *cobra.Command) func() {
	return func() { os.Exit(cli.Run(build())) }
}
