package chart

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

const (
	// root is the top of the repository, seen from here.
	root = "../.."
	// systemNamespace is where the chart is installed, and shop is a namespace that the operator works in.
	systemNamespace = "seam-session-operator-system"
	shop            = "shop"
)

// What the specs share: helm, the folder of prometheus and promtool, an API server that keeps an audit log, and the operator's binary.
var (
	helm          string
	prometheusDir string
	environment   *envtest.Environment
	config        *rest.Config
	scheme        = runtime.NewScheme()
	api           client.Client
	binary        string
	auditLog      string
)

func TestChart(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Chart")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "run make test: it brings the control plane that these specs need")
	logf.SetLogger(GinkgoLogr)
	if helm = os.Getenv("HELM"); helm == "" {
		helm = output(ctx, "hack/helm/build.sh")
	}
	prometheusDir = output(ctx, "hack/prometheus/build.sh")
	dir := GinkgoT().TempDir()
	binary = filepath.Join(dir, "seam-session-operator")
	output(ctx, "go", "build", "-buildvcs=false", "-o", binary, ".")

	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config/crd/bases")},
		ErrorIfCRDPathMissing: true,
		CRDs: []*apiextensionsv1.CustomResourceDefinition{
			prometheusKind("ServiceMonitor", "servicemonitors"), prometheusKind("PrometheusRule", "prometheusrules"),
		},
	}
	keepAudit(dir)
	var err error
	config, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	api, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{systemNamespace, shop, "garage"} {
		Expect(api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
})

var _ = AfterSuite(func() {
	if environment != nil {
		Expect(environment.Stop()).To(Succeed())
	}
})

// keepAudit lets the API server write down every request, without its body.
func keepAudit(dir string) {
	GinkgoHelper()
	policy := filepath.Join(dir, "policy.yaml")
	auditLog = filepath.Join(dir, "audit.log")
	Expect(os.WriteFile(policy, []byte(`
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, omitStages: [RequestReceived]}]
`), 0o600)).To(Succeed())
	environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).Set("audit-log-path", auditLog).Set("audit-log-mode", "blocking")
}

// prometheusKind is a kind of the Prometheus operator, without its schema.
func prometheusKind(kind, plural string) *apiextensionsv1.CustomResourceDefinition {
	const group = "monitoring.coreos.com"
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, ListKind: kind + "List", Plural: plural},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true),
				}},
			}},
		},
	}
}

// output runs a command at the top of the repository, and returns what it prints.
func output(ctx context.Context, name string, args ...string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = root
	command.Stderr = GinkgoWriter
	printed, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), "%s %v", name, args)
	return strings.TrimSpace(string(printed))
}
