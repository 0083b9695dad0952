// policies enforces NetworkPolicies on a node of a kind cluster whose pod network is podnet.
//
// It runs as a DaemonSet on the host's network. What a policy means is decided by the module that kind's own pod network
// uses for it, kube-network-policies, for the first packet of every connection. That module gets the packets by nft's
// statement `queue`, which not every kernel has; here iptables' target NFQUEUE sends them to it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const (
	queue = 100
	// The node's root in our container.
	node      = "/node"
	addresses = node + "/run/cni-ipam-state/podnet/"
	sandboxes = node + "/run/containerd/io.containerd.runtime.v2.task/k8s.io/"
	// A chain for connections that are forwarded, and those that pods open to the node itself. Addresses there are those
	// of the pods: services are translated before, and what leaves the cluster is masqueraded after.
	chain = "POLICIES"
)

var jumps = []string{"FORWARD -j " + chain, "INPUT -i cni0 -j " + chain}

func main() {
	act := enforce
	if slices.Contains(os.Args, "ready") {
		act = isRead
	}
	if err := act(); err != nil {
		log.Fatal(err)
	}
}

func enforce() error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	policies, pods := factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods()
	self := os.Getenv("NODE_NAME")
	namespaces := factory.Core().V1().Namespaces()
	// Without what only cluster-wide policies need.
	controller, err := networkpolicy.NewController(client, policies, namespaces, podInformer{pods}, nil, nil, nil, nil, networkpolicy.Config{
		QueueID:  queue,
		NodeName: self,
		// Longer than any kernel takes: so it never gets its own rules in, also where the kernel would have them. It logs
		// that, and goes on.
		NFTableName: strings.Repeat("-", 300),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	ended := make(chan error)
	go func() { ended <- controller.Run(ctx) }()
	before := ""
	for {
		selected, err := selectedAddresses(policies.Lister(), pods.Lister(), self)
		if err != nil {
			return err
		}
		if now := rules(selected); now != before {
			if err := setRules(now); err != nil {
				return err
			}
			before = now
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the module ended: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// isRead fails while nobody reads the queue.
func isRead() error {
	queues, err := os.ReadFile("/proc/net/netfilter/nfnetlink_queue")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(queues)) {
		if strings.Fields(line)[0] == fmt.Sprint(queue) {
			return nil
		}
	}
	return errors.New("nobody reads the queue")
}

// selectedAddresses are those of this node's pods that any policy selects.
func selectedAddresses(policies networkinglisters.NetworkPolicyLister, pods corelisters.PodLister, self string) ([]string, error) {
	all, err := policies.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var found []string
	for _, policy := range all {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			return nil, err
		}
		selected, err := pods.Pods(policy.Namespace).List(selector)
		if err != nil {
			return nil, err
		}
		for _, pod := range selected {
			if pod.Spec.NodeName == self && !pod.Spec.HostNetwork && pod.Status.PodIP != "" {
				found = append(found, pod.Status.PodIP)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// rules send every new connection to the queue. While nobody reads it, those of selected pods wait there for nothing and all
// others pass. Selected or not is decided again by who reads: a policy holds before it has changed these rules.
func rules(selected []string) string {
	lines := []string{"*mangle", ":" + chain + " -", "-A " + chain + " -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"}
	for _, address := range selected {
		for _, side := range []string{"-s", "-d"} {
			lines = append(lines, fmt.Sprintf("-A %s %s %s -j NFQUEUE --queue-num %d", chain, side, address, queue))
		}
	}
	lines = append(lines, fmt.Sprintf("-A %s -j NFQUEUE --queue-num %d --queue-bypass", chain, queue), "COMMIT")
	return strings.Join(lines, "\n") + "\n"
}

func setRules(rules string) error {
	if err := onNode(rules, "iptables-restore", "--noflush"); err != nil {
		return err
	}
	for _, jump := range jumps {
		rule := strings.Fields(jump)
		if onNode("", "iptables", append([]string{"-t", "mangle", "-C"}, rule...)...) == nil {
			continue
		}
		if err := onNode("", "iptables", append([]string{"-t", "mangle", "-A"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

// onNode runs a program of the node.
func onNode(input, program string, arguments ...string) error {
	command := exec.Command("/usr/sbin/"+program, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: node}
	command.Dir = "/"
	command.Stdin = strings.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s%s", program, arguments, err, output, input)
	}
	return nil
}

// podInformer tells whose an address is before the API server knows it, some seconds after the pod's start: a policy would
// not hold for the connections that a pod opens till then, and these stay open.
type podInformer struct{ coreinformers.PodInformer }

func (i podInformer) Informer() cache.SharedIndexInformer {
	return sharedInformer{i.PodInformer.Informer()}
}

type sharedInformer struct{ cache.SharedIndexInformer }

func (i sharedInformer) GetIndexer() cache.Indexer {
	return indexer{i.SharedIndexInformer.GetIndexer()}
}

type indexer struct{ cache.Indexer }

// ByIndex is only ever asked for the pods that have an address.
func (i indexer) ByIndex(index, address string) ([]any, error) {
	if key, err := podOnNode(address); err == nil {
		if pod, known, err := i.GetByKey(key); err == nil && known {
			return []any{pod}, nil
		}
	}
	return i.Indexer.ByIndex(index, address)
}

// podOnNode is the namespace/name of the pod of this node that has an address, by what CNI and containerd keep.
func podOnNode(address string) (string, error) {
	owner, err := os.ReadFile(addresses + address)
	if err != nil {
		return "", err
	}
	sandbox, _, _ := bytes.Cut(owner, []byte("\r\n"))
	file, err := os.ReadFile(sandboxes + string(sandbox) + "/config.json")
	if err != nil {
		return "", err
	}
	var config struct{ Annotations map[string]string }
	if err := json.Unmarshal(file, &config); err != nil {
		return "", err
	}
	const prefix = "io.kubernetes.cri.sandbox-"
	return config.Annotations[prefix+"namespace"] + "/" + config.Annotations[prefix+"name"], nil
}
