package acceptance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// root is the top of the repository, seen from here.
	root = "../.."
	// leaseNamespace is where replicas keep their Lease.
	leaseNamespace = "operator-system"
	serviceAccount = "operator"
)

// What all specs share: an API server, and the binary with a kubeconfig that gives it the rights of its manifests.
var (
	environment *envtest.Environment
	config      *rest.Config
	scheme      = runtime.NewScheme()
	api         client.WithWatch
	binary      string
	kubeconfig  string
)

func TestAcceptance(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Acceptance")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "run make test: it brings the control plane that these specs need")
	var built func()
	binary, built = buildBinary(ctx, GinkgoT().TempDir()) // while the API server starts

	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config/crd/bases")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	api, err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	kubeconfig = grantRights(ctx, GinkgoT().TempDir())
	built()
})

var _ = AfterSuite(func() {
	if environment != nil {
		Expect(environment.Stop()).To(Succeed())
	}
})

// buildBinary begins to build the operator, and returns where it is once built has returned.
func buildBinary(ctx context.Context, dir string) (path string, built func()) {
	GinkgoHelper()
	path = filepath.Join(dir, "seam-session-operator")
	args := append([]string{"build", "-buildvcs=false", "-o", path}, buildFlags...)
	build := exec.CommandContext(ctx, "go", append(args, ".")...)
	build.Dir = root
	var output output
	build.Stdout, build.Stderr = &output, &output
	Expect(build.Start()).To(Succeed())
	return path, func() {
		GinkgoHelper()
		Expect(build.Wait()).To(Succeed(), output.String)
	}
}

// grantRights makes a user who may do what config/rbac lets the operator do and nothing else, and returns a kubeconfig of
// it: rules that lack something fail these specs.
func grantRights(ctx context.Context, dir string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: leaseNamespace}}
	Expect(api.Create(ctx, namespace)).To(Succeed())
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: serviceAccount}}

	clusterRole, role := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	readManifest("config/rbac/role.yaml", clusterRole)
	readManifest("config/rbac/leader_election_role.yaml", role)
	role.Namespace = leaseNamespace
	Expect(api.Create(ctx, clusterRole)).To(Succeed())
	Expect(api.Create(ctx, role)).To(Succeed())
	Expect(api.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: clusterRole.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole.Name},
		Subjects:   subjects,
	})).To(Succeed())
	Expect(api.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: leaseNamespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   subjects,
	})).To(Succeed())

	user, err := environment.AddUser(envtest.User{Name: serviceAccount}, nil)
	Expect(err).NotTo(HaveOccurred())
	content, err := user.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(dir, "kubeconfig")
	Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

func readManifest(path string, object any) {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(root, path))
	Expect(err).NotTo(HaveOccurred())
	Expect(yaml.UnmarshalStrict(content, object)).To(Succeed())
}
