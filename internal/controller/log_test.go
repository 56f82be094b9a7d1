package controller

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("The log", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("has a line for each session that was brought up to date, and none for an idle hour", func() {
		const count = 5
		for i := range count {
			w.ready(fmt.Sprintf("user-%d", i))
		}
		Expect(w.lines(0)).To(HaveLen(count))
		Expect(w.lines(0)).To(HaveEach(And(
			ContainSubstring(`"msg"="the token was written to Secret`), ContainSubstring(`"generation"=1`), ContainSubstring(`"reason"="TokenWritten"`))))

		w.advance(time.Hour)
		Expect(w.seam.CallCount()).To(Equal(2 * count))
		Expect(w.lines(0)).To(HaveLen(count))

		By("looking closer")
		Expect(w.lines(1)).To(HaveLen(2*count), "one for each attempt")
		Expect(w.lines(2)).NotTo(BeEmpty(), "one for each look that found nothing to do")
	})

	It("has a line when a failure begins, with Seam's request ID, none while it lasts, and one when it is over", func() {
		w.ready("jane")
		before := len(w.lines(0))
		w.seam.Fail(seamtest.ServerError)
		w.advance(2 * time.Hour)
		failed := w.lines(0)[before:]
		Expect(failed).To(ConsistOf(And(
			ContainSubstring(`"reason"="SeamUnavailable"`), ContainSubstring(`"generation"=1`), MatchRegexp(`"seamRequestID"="request\d+"`))))
		attempts := w.lines(1)
		Expect(attempts[len(attempts)-1]).To(MatchRegexp(`"seamRequestID"="request\d+"`))

		w.seam.Heal()
		w.seam.Change(seamtest.JohnSessionID, func(session *seamtest.Session) { session.Token = "seam_cst1_second" })
		w.change("jane", func(s *v1alpha1.SeamClientSession) { s.Spec.Secret.Labels = map[string]v1alpha1.LabelValue{"a": "b"} })
		w.settle("jane")
		Expect(w.lines(0)[before+1:]).To(ConsistOf(And(ContainSubstring(`"reason"="TokenRotated"`), ContainSubstring(`"generation"=2`))))
	})
})

// lines are those of the log at one level.
func (w *world) lines(level int) []string {
	var lines []string
	for line := range strings.Lines(w.logs.String()) {
		if strings.Contains(line, fmt.Sprintf(`"level"=%d `, level)) {
			lines = append(lines, line)
		}
	}
	return lines
}
