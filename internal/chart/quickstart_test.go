package chart

import (
	"context"
	"os"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("The quick start", func() {
	It("makes sessions that nobody made, by a key in the namespace and by one of another", func(ctx SpecContext) {
		t := newTrial(ctx, widePermissions(ctx))
		readme := readFile("README.md")
		shell := newReader(ctx)
		DeferCleanup(func(ctx SpecContext) {
			for _, object := range []client.Object{
				&v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}},
				&v1alpha1.SeamWorkspace{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "production"}},
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "seam"}},
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "seam"}},
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}},
			} {
				Expect(client.IgnoreNotFound(api.Delete(ctx, object))).To(Succeed())
			}
		})

		shell(ctx, block(readme, "kubectl -n shop wait"))
		made := t.server.Sessions("jane_doe")
		Expect(made).To(HaveLen(1))
		Expect(tokenIn(ctx, "jane")).To(Equal(made[0].Token))

		shell(ctx, `printf %s "$SEAM_API_KEY" | kubectl -n platform create secret generic seam --from-file=SEAM_API_KEY=/dev/stdin`)
		shell(ctx, "kubectl apply -f - <<'END'\n"+block(readme, "kind: SeamWorkspace")+"END\n")
		Eventually(t.server.Sessions).WithArguments("shop-jane").Should(HaveLen(1))
		Eventually(tokenIn).WithArguments(ctx, "jane").Should(Equal(t.server.Sessions("shop-jane")[0].Token))
	})
})

// newReader returns what runs the commands of somebody who reads the documents, where nothing is there yet but the namespaces, and an
// API key in the environment.
func newReader(ctx context.Context) func(ctx context.Context, commands string) {
	GinkgoHelper()
	kubectl := newShop(ctx)
	for _, object := range []client.Object{
		&v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}},
		&v1alpha1.SeamWorkspace{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "production"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "jane"}},
	} {
		Expect(client.IgnoreNotFound(api.Delete(ctx, object))).To(Succeed())
	}
	return func(ctx context.Context, commands string) {
		GinkgoHelper()
		shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
		shell.Env = append(append(os.Environ(), kubectl...), "SEAM_API_KEY="+seamtest.APIKey1)
		printed, err := shell.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(printed))
		Expect(string(printed)).NotTo(ContainSubstring("seam_"))
	}
}

// block is the code block of a document that has some text.
func block(document, text string) string {
	GinkgoHelper()
	for i, part := range strings.Split(document, "\n```") {
		if _, code, _ := strings.Cut(part, "\n"); i%2 == 1 && strings.Contains(code, text) {
			return code + "\n"
		}
	}
	Fail("no code block has " + text)
	return ""
}

// tokenIn is the token in a Secret of the shop, if there is one.
func tokenIn(ctx context.Context, name string) string {
	s := &corev1.Secret{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: shop, Name: name}, s); err != nil {
		return ""
	}
	return string(s.Data["token"])
}
