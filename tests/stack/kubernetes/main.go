// Kubernetes is what the tests need of a cluster without nodes in one program: etcd, the API server and the controllers.
//
// One program, because the parts share nearly all of their code: it is compiled and linked once.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"

	"kubernetes/program"
)

func main() {
	program.Run("kubernetes", map[string]func(){
		"etcd":                    func() { etcdmain.Main(os.Args) },
		"kube-apiserver":          program.Command(apiserver.NewAPIServerCommand),
		"kube-controller-manager": program.Command(controllers.NewControllerManagerCommand),
	})
}
