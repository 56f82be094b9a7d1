package chart

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const monitored = `metrics: {serviceMonitor: {create: true}, prometheusRule: {create: true}, dashboard: {create: true}}`

var _ = Describe("Monitoring", func() {
	It("has alerts that promtool takes, and that fire when they should and at no other time", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		rule := render(ctx, monitored)[rules]
		writeYAML(filepath.Join(dir, "rules.yaml"), rule.Object["spec"])
		Expect(os.WriteFile(filepath.Join(dir, "alerts.yaml"), []byte(readFile("internal/chart/testdata/alerts.yaml")), 0o600)).To(Succeed())
		promtool(ctx, dir, "", "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
		promtool(ctx, dir, "", "test", "rules", "alerts.yaml")
	})

	It("has no alert that can't be left out", func(ctx SpecContext) {
		alerts := strings.Fields(render(ctx, monitored).field(rules, ".spec.groups[*].rules[*].alert"))
		rendered := render(ctx, `metrics: {prometheusRule: {create: true, disabledAlerts: [`+strings.Join(alerts, ", ")+`]}}`)
		Expect(rendered[rules]).NotTo(BeNil())
		Expect(rendered.field(rules, ".spec.groups[*].rules[*].alert")).To(BeEmpty())
	})

	It("lets nobody read metrics whom the API server does not let", func(ctx SpecContext) {
		t := newTrial(ctx, permissions(ctx))
		Eventually(t.scrape).WithArguments(ctx).ShouldNot(BeEmpty())
		stranger := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: "stranger"}}
		Expect(api.Create(ctx, stranger)).To(Succeed())
		for token, status := range map[string]int{
			"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, tokenOf(ctx, stranger): http.StatusForbidden, t.scraper: http.StatusOK,
		} {
			_, got, err := t.readMetrics(ctx, token)
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(status))
		}
	})

	It("shows a session that ends, and a replica that is gone, in a real Prometheus", func(ctx SpecContext) {
		rendered := render(ctx, monitored)
		t := newTrial(ctx, permissions(ctx))
		p := startPrometheus(ctx, rendered, t)
		Eventually(p.query).WithArguments(ctx, `seam_client_session_ready == 1`).Should(HaveLen(1))
		Eventually(p.firing).WithArguments(ctx).Should(BeEmpty())

		By("changing its Secret as somebody else would")
		changed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: sessionName}}
		unlabelled := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":null}}`))
		Expect(api.Patch(ctx, changed, unlabelled)).To(Succeed())
		Eventually(p.query).WithArguments(ctx, `seam_client_session_secret_repairs_total == 1`).Should(HaveLen(1))

		By("letting the session end")
		t.server.Change(seamtest.JohnSessionID, func(session *seamtest.Session) { session.ExpiresAt = time.Now().Add(3 * time.Second) })
		t.edit(ctx, func(session *v1alpha1.SeamClientSession) {
			session.Annotations = map[string]string{v1alpha1.AnnotationRefreshRequestedAt: "now"}
		})
		Eventually(p.firing).WithArguments(ctx).Should(And(HaveLen(1), HaveKey("SeamSessionExpired")))
		fired := p.firing(ctx)["SeamSessionExpired"]
		Expect(fired.Labels).To(And(
			HaveKeyWithValue("namespace", t.namespace), HaveKeyWithValue("name", sessionName), HaveKeyWithValue("severity", "critical")))
		Expect(fired.Annotations).To(HaveKeyWithValue("summary", "The Seam session of "+t.namespace+"/"+sessionName+" has ended"))
		ready := meta.FindStatusCondition(t.session(ctx).Status.Conditions, v1alpha1.ConditionReady)
		Expect(ready.Reason).To(Equal(v1alpha1.ReasonSessionExpired))

		By("running every query of the dashboard")
		for _, query := range queries(rendered) {
			Eventually(p.query).WithArguments(ctx, query).Should(And(Not(BeEmpty()), HaveEach(
				HaveField("Value", HaveEach(Not(BeElementOf("NaN", "+Inf")))))), query)
		}

		By("checking what was scraped")
		metrics := t.scrape(ctx)
		expectDocumented(metrics)
		promtool(ctx, "", metrics, "check", "metrics")
		for _, secret := range t.server.Secrets() {
			Expect(metrics).NotTo(ContainSubstring(secret))
		}

		By("ending the operator")
		t.end(ctx)
		Eventually(p.firing).WithArguments(ctx).Should(And(HaveLen(1), HaveKey("SeamOperatorDown")))
	})
})

// promtool runs it in a folder, with some input.
func promtool(ctx context.Context, dir, input string, args ...string) {
	GinkgoHelper()
	command := exec.CommandContext(ctx, filepath.Join(prometheusDir, "promtool"), args...)
	command.Dir, command.Stdin = dir, strings.NewReader(input)
	printed, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(printed))
}

// queries are those of the dashboard, as Grafana sends them for all namespaces.
func queries(rendered release) []string {
	GinkgoHelper()
	var dashboard struct {
		Panels []struct {
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	for _, content := range rendered["ConfigMap/seam-session-operator-dashboard"].Object["data"].(map[string]any) {
		Expect(json.Unmarshal([]byte(content.(string)), &dashboard)).To(Succeed())
	}
	var all []string
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, strings.NewReplacer("$namespace", ".*", "$__rate_interval", "1m").Replace(target.Expr))
		}
	}
	Expect(len(all)).To(BeNumerically(">", 10))
	Expect(all).NotTo(ContainElement(ContainSubstring("$")))
	slices.Sort(all)
	return all
}
