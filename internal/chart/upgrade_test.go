package chart

import (
	"os"
	"path/filepath"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// landedBefore is the chart without SeamWorkspaces, as helm package made it: people have it installed.
const landedBefore = "internal/chart/testdata/seam-session-operator-0.1.0.tgz"

var _ = Describe("An upgrade from the chart that landed before", func() {
	It("keeps sessions, brings what is new and removes what is gone", func(ctx SpecContext) {
		cluster, kubeconfig := emptyCluster()
		before := parse(output(ctx, helm, "template", "seam-session-operator", landedBefore, "--namespace="+systemNamespace))
		output(ctx, helm, "install", "seam-session-operator", landedBefore, "--namespace="+systemNamespace, "--create-namespace",
			"--kubeconfig="+kubeconfig)
		session := &v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: sessionName},
			Spec: v1alpha1.SeamClientSessionSpec{
				ClientSessionID: "cst1", CredentialSecretRef: v1alpha1.CredentialReference{Name: "seam"},
			},
		}
		Eventually(cluster.Create).WithArguments(ctx, session).Should(Succeed())

		output(ctx, helm, "upgrade", "seam-session-operator", "config/chart", "--namespace="+systemNamespace, "--kubeconfig="+kubeconfig)

		kept := &v1alpha1.SeamClientSession{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(session), kept)).To(Succeed())
		Expect(kept.UID).To(Equal(session.UID))
		after := render(ctx, "")
		for _, objects := range []release{before, after} {
			for key, object := range objects {
				if _, hook := object.GetAnnotations()["helm.sh/hook"]; hook {
					continue
				}
				err := cluster.Get(ctx, client.ObjectKeyFromObject(object), object.DeepCopy())
				if _, stays := after[key]; stays {
					Expect(err).NotTo(HaveOccurred(), key)
				} else {
					Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%s: %v", key, err)
				}
			}
		}
		Eventually(cluster.List).WithArguments(ctx, &v1alpha1.SeamWorkspaceList{}).Should(Succeed())
	})
})

// emptyCluster starts an API server in which nothing is installed, and returns a client of it and the path of a kubeconfig.
func emptyCluster() (cluster client.Client, kubeconfig string) {
	GinkgoHelper()
	other := &envtest.Environment{}
	config, err := other.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(other.Stop)
	cluster, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	user, err := other.AddUser(envtest.User{Name: "installer", Groups: []string{"system:masters"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	content, err := user.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	kubeconfig = filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(kubeconfig, content, 0o600)).To(Succeed())
	return cluster, kubeconfig
}

var _ = Describe("The chart's README", func() {
	It("describes every value, as values.yaml does", func() {
		readme := readFile("config/chart/README.md")
		described := regexp.MustCompile(`(?m)^ *# -- (.+)$`).FindAllStringSubmatch(readFile("config/chart/values.yaml"), -1)
		Expect(described).NotTo(BeEmpty())
		for _, line := range described {
			Expect(readme).To(ContainSubstring(line[1]))
		}
	})
})
