package v1alpha1_test

import (
	"context"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

var (
	apiServer *envtest.Environment
	api       client.Client
)

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "The API")
}

var _ = BeforeSuite(func() {
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(),
		"these tests need a control plane: run make test, or set KUBEBUILDER_ASSETS=$(hack/controlplane/assets.sh)")
	apiServer = &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	config, err := apiServer.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(apiServer.Stop)
	scheme := runtime.NewScheme()
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	api, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// create sends an object with the spec of a minimal one, into which the given YAML is merged, as null deletes.
func create(ctx context.Context, name, spec string, options ...client.CreateOption) (*v1alpha1.SeamClientSession, error) {
	GinkgoHelper()
	object := minimal(name)
	merge(object.Object["spec"].(map[string]any), parse(spec))
	if err := api.Create(ctx, object, options...); err != nil {
		return nil, err
	}
	session := &v1alpha1.SeamClientSession{}
	return session, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, session)
}
