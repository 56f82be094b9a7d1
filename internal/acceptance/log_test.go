package acceptance

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("One session", func() {
	It("can be followed through log and events by its namespace, name and generation", func(ctx SpecContext) {
		server := startSeam(1)
		s := newStage(ctx)
		s.secretOf(ctx, "seam", v1alpha1.DefaultCredentialKey, seamtest.APIKey1)
		s.create(ctx, "jane", v1alpha1.SeamClientSessionSpec{ClientSessionID: sessionName(0)})
		s.create(ctx, "nobody", v1alpha1.SeamClientSessionSpec{ClientSessionID: "of-nobody"})
		o := s.operate(ctx, server.URL(), "--zap-log-level=info")
		Eventually(func() int { return len(s.events(ctx)) }).Should(Equal(2))

		lines := map[string]map[string]any{}
		for text := range strings.Lines(o.log.String()) {
			var line map[string]any
			Expect(json.Unmarshal([]byte(text), &line)).To(Succeed(), text)
			if name, ok := line["name"].(string); ok && line["SeamClientSession"] != nil {
				Expect(lines).NotTo(HaveKey(name), text)
				lines[name] = line
			}
		}
		Expect(lines).To(HaveLen(2))
		for name, reason := range map[string]string{"jane": "TokenWritten", "nobody": v1alpha1.ReasonSessionNotFound} {
			Expect(lines[name]).To(And(HaveKeyWithValue("namespace", s.namespace),
				HaveKeyWithValue("generation", BeNumerically("==", 1)), HaveKeyWithValue("reason", reason)))
		}
		Expect(lines["nobody"]).To(HaveKey("seamRequestID"))
		for _, event := range s.events(ctx) {
			Expect(event.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationGeneration, "1"))
			Expect(event.Regarding.Namespace + "/" + event.Regarding.Name).To(BeElementOf(s.namespace+"/jane", s.namespace+"/nobody"))
		}
	})
})
