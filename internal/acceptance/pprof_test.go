package acceptance

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

var _ = Describe("--pprof-bind-address", func() {
	It("serves profiles, to this host alone unless a host is given", func(ctx SpecContext) {
		s := newStage(ctx)
		own, all := freePort(ctx), freePort(ctx)
		server := seamtest.New(nil)
		server.Start()
		DeferCleanup(server.Close)
		for flag, port := range map[string]int{fmt.Sprintf(":%d", own): own, fmt.Sprintf("0.0.0.0:%d", all): all} {
			s.operate(ctx, server.URL(), "--pprof-bind-address="+flag)
			Eventually(func() error {
				_, err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/symbol", port))
				return err
			}).Should(Succeed())
			// Another address of this host: a server that listens everywhere answers there.
			_, err := get(ctx, fmt.Sprintf("http://127.0.0.2:%d/debug/pprof/symbol", port))
			Expect(err == nil).To(Equal(port == all), flag)
		}
	})
})
