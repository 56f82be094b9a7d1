// Command e2e installs the operator by Helm on the cluster that KUBECONFIG points at, and lets pods use what it does: from
// the install through rotation, a wrong credential, the loss of the leader, grants to teams, sessions that it makes itself and an
// upgrade to the end. make e2e builds what it needs and runs it from the top of the repository. It says what it does and how long that took; if something is not as
// it should be, it leaves logs and objects in .cache/e2e. It removes what it made, and what an earlier run left.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stepTimeout bounds each step. The longest waits for a kubelet, which may take 90 s to bring a changed Secret into a pod.
const stepTimeout = 3 * time.Minute

func main() {
	s := &suite{}
	flag.StringVar(&s.image, "image", "", "the operator's image, as repository:tag")
	flag.StringVar(&s.podImage, "pod-image", "", "the image of hack/e2e/pod")
	flag.StringVar(&s.helmPath, "helm", "helm", "the helm binary")
	flag.StringVar(&s.kubectlPath, "kubectl", "kubectl", "the kubectl binary")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\ne2e:", err)
		os.Exit(1)
	}
}

// step is one thing that must work.
type step struct {
	name string
	do   func(context.Context) error
}

func (s *suite) run(ctx context.Context) (err error) {
	start := clock.Now()
	if s.work, err = os.MkdirTemp("", "e2e-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	steps := []step{
		{"nobody else uses the operator on this cluster", s.protect},
		{"nothing is left of an earlier run", s.clean},
		{"a Seam runs in the cluster", s.startSeam},
		{"helm install, two replicas, in a namespace that enforces restricted: Ready without a warning", s.install},
		{"helm test: a replica leads, and may do what it must", s.check},
		{"sessions by key and by ID become Ready, and a pod mounts the Secret", s.useInPod},
		{"a rotated token reaches the file in the running pod; subPath and environment keep the old one", s.rotate},
		{"a revoked credential is reported, the token stays, and a correction is noticed", s.revoke},
		{"the leader is deleted in the middle of a sync: all of ten sessions become Ready", s.loseLeader},
		{"two teams use the platform's credential: a pod of each reads its own token, and neither namespace holds the key", s.useWorkspace},
		{"what is not granted can't be told from what does not exist, and Seam is not called", s.tryUngranted},
		{"a session that is deleted at Seam shows within the poll interval and 5 s", s.deleteAtSeam},
		{"a session that nobody made: a pod reads its token, and it is extended before its end", s.provision},
		{"kubectl delete of that session deletes it at Seam", s.deleteProvisioned},
		{"a namespace with such a session can be deleted, and the session goes with it", s.deleteProvisionedNamespace},
		{"helm upgrade with a changed value and a changed CRD asks Seam nothing", s.upgrade},
		{"helm uninstall keeps sessions and Secrets; another release takes them up without a call to Seam", s.reinstall},
		{"kubectl delete of a session removes its Secret", s.deleteSession},
		{"a namespace with sessions can be deleted while the operator is gone", s.deleteNamespace},
		{"nothing is left", s.clean},
	}
	for i, next := range steps {
		fmt.Printf("\n==> %d/%d %s\n", i+1, len(steps), next.name)
		began := clock.Now()
		bounded, cancel := context.WithTimeout(ctx, stepTimeout)
		err := next.do(bounded)
		cancel()
		if err != nil {
			s.collect(context.WithoutCancel(ctx))
			return fmt.Errorf("%s: %w", next.name, err)
		}
		fmt.Printf("    %.1f s\n", clock.Since(began).Seconds())
	}
	fmt.Printf("\nAll of it was seen, in %.0f s.\n", clock.Since(start).Seconds())
	return nil
}
