package acceptance

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// strangers is how many requests somebody makes who reaches the port of the metrics and has no credential.
	strangers = 150
	// flood is how large each of them is.
	flood = 900 << 10
)

var _ = Describe("The port of the metrics", func() {
	BeforeEach(mayReview)

	for _, secure := range []bool{true, false} {
		Context(map[bool]string{true: "over HTTPS", false: "in plain HTTP"}[secure], func() {
			var o *operator
			var address string
			BeforeEach(func(ctx SpecContext) {
				s := newStage(ctx)
				flag := fmt.Sprintf("--metrics-secure=%t", secure)
				o = startOperator(ctx, "http://127.0.0.1:1", flag)
				s.operators = append(s.operators, o)
				parsed, err := url.Parse(o.metrics)
				Expect(err).NotTo(HaveOccurred())
				address = parsed.Host
				Eventually(func() error { return request(ctx, address, secure, "GET", "wrong") }).Should(Succeed())
			})

			It("keeps nothing of requests with methods that there are not", func(ctx SpecContext) {
				before := memory(o, "VmRSS")
				for i := range strangers {
					_ = request(ctx, address, secure, strings.Repeat("A", flood), fmt.Sprint("wrong", i)) // it may well be cut off
				}
				Expect(memory(o, "VmHWM") - before).To(BeNumerically("<", spared))
			})

			It("holds little of requests that don't end", func(ctx SpecContext) {
				before := memory(o, "VmRSS")
				var wait sync.WaitGroup
				for range strangers {
					wait.Go(func() {
						connection, err := dial(ctx, address, secure)
						if err != nil {
							return
						}
						DeferCleanup(func() { _ = connection.Close() }) // it may be closed
						_, _ = connection.Write([]byte("GET /metrics?" + strings.Repeat("a", flood)))
					})
				}
				wait.Wait()
				// It may not have read all of them yet.
				Consistently(func() int { return memory(o, "VmHWM") - before }).WithTimeout(2 * time.Second).Should(BeNumerically("<", spared))
			})
		})
	}
})

// mayReview lets the operator ask the API server who reads metrics.
func mayReview(ctx SpecContext) {
	role := &rbacv1.ClusterRole{}
	readManifest("config/rbac/metrics_auth_role.yaml", role)
	Expect(client.IgnoreAlreadyExists(api.Create(ctx, role))).To(Succeed())
	Expect(client.IgnoreAlreadyExists(api.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: serviceAccount}},
	}))).To(Succeed())
}

// request makes a request for metrics, on a connection of its own. Any answer will do.
func request(ctx context.Context, address string, secure bool, method, token string) error {
	scheme := map[bool]string{true: "https", false: "http"}[secure]
	request, err := http.NewRequestWithContext(ctx, method, scheme+"://"+address+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: anyCertificate()}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func dial(ctx context.Context, address string, secure bool) (net.Conn, error) {
	if secure {
		return (&tls.Dialer{Config: anyCertificate()}).DialContext(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the operator makes its own
}

// memory is what Linux says of the operator's, in bytes: VmRSS is now, VmHWM the most that there ever was.
func memory(o *operator, field string) int {
	GinkgoHelper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.process.Pid))
	if os.IsNotExist(err) {
		Skip("only Linux tells how much memory a process uses")
	}
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(value)[0])
			Expect(err).NotTo(HaveOccurred())
			return kilobytes << 10
		}
	}
	Fail("no " + field)
	return 0
}
