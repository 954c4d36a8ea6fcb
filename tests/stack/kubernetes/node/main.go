// Node is what a cluster needs to have nodes that run pods, in one program: the scheduler, and a node's own kubelet and proxy of Services.
package main

import (
	"context"

	"github.com/spf13/cobra"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"kubernetes/program"
)

func main() {
	program.Run("node", map[string]func(){
		"kube-proxy":     program.Command(proxy.NewProxyCommand),
		"kube-scheduler": program.Command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"kubelet":        program.Command(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	})
}
