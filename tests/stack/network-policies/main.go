// Network-policies holds one node to the cluster's NetworkPolicies: the first packet of each connection that the node passes on is
// decided on by kube-network-policies, as on kind's nodes. A module of its own, as CoreDNS is.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	node := flag.String("node", "", "the node's name")
	queue := flag.Int("queue", 100, "the kernel's queue that packets wait in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, networkpolicy.Config{NodeName: *node, QueueID: *queue}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig string, config networkpolicy.Config) error {
	access, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	seen := informers.NewSharedInformerFactory(client, 0)
	core := seen.Core().V1()
	policies := seen.Networking().V1().NetworkPolicies()
	controller, err := networkpolicy.NewController(client, policies, core.Namespaces(), core.Pods(), nil, nil, nil, nil, config)
	if err != nil {
		return err
	}
	if err := divert(config.QueueID); err != nil {
		return err
	}
	seen.Start(ctx.Done())
	return controller.Run(ctx)
}

// divert sends the first packet of each connection to the queue. The controller's own rules do so as well, where the kernel lets
// nftables queue; where it does not, the controller says so in its log and decides on what comes by this one. Without a controller
// packets pass.
func divert(queue int) error {
	rule := exec.Command("iptables", "--wait", "--table", "mangle", "--append", "FORWARD", "--match", "conntrack", "--ctstate", "NEW",
		"--jump", "NFQUEUE", "--queue-num", strconv.Itoa(queue), "--queue-bypass")
	if said, err := rule.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}
