package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// operator is the real binary, as a process.
type operator struct {
	process *os.Process
	cancel  context.CancelFunc
	metrics string
	log     output
	exited  chan struct{}
	state   *os.ProcessState
	scraped string
}

// startOperator starts the binary at its most verbose.
func startOperator(ctx context.Context, seamURL string, flags ...string) *operator {
	GinkgoHelper()
	o := &operator{exited: make(chan struct{})}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(ctx)))
	o.metrics = "http://" + address + "/metrics"
	args := append([]string{
		"--seam-endpoint=" + seamURL, "--metrics-bind-address=" + address, "--health-probe-bind-address=0",
		"--zap-log-level=10",
	}, flags...)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel // kills
	command := exec.CommandContext(life, binary, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stdout, command.Stderr = &o.log, &o.log
	Expect(command.Start()).To(Succeed())
	o.process = command.Process
	go func() {
		defer close(o.exited)
		_ = command.Wait()
		o.state = command.ProcessState
	}()
	return o
}

// kill is kill -9, and waits for the end. It may be called again.
func (o *operator) kill() {
	GinkgoHelper()
	o.cancel()
	Eventually(o.exited).Should(BeClosed())
}

// stop keeps what the metrics say at last, and kills.
func (o *operator) stop(ctx context.Context) {
	GinkgoHelper()
	o.scraped = o.scrape(ctx)
	o.kill()
}

func (o *operator) signal(signal os.Signal) {
	_ = o.process.Signal(signal) // of a process that has ended there is nothing to say
}

// scrape returns the metrics, or nothing as long as there are none.
func (o *operator) scrape(ctx context.Context) string {
	body, err := get(ctx, o.metrics)
	if err != nil {
		return ""
	}
	return body
}

// reconciles is how often a session was looked at, and idle says whether nothing waits to be.
func (o *operator) reconciles(ctx context.Context) (count int, idle bool) {
	metrics := o.scrape(ctx)
	busy := sum(metrics, "controller_runtime_active_workers") + sum(metrics, "workqueue_depth")
	return int(sum(metrics, "controller_runtime_reconcile_total")), busy == 0
}

// leads says whether it is the one of several replicas that works.
func (o *operator) leads(ctx context.Context) bool {
	return sum(o.scrape(ctx), "leader_election_master_status") == 1
}

func get(ctx context.Context, url string) (string, error) {
	return getThrough(ctx, http.DefaultTransport, url)
}

// getThrough reads a page.
func getThrough(ctx context.Context, transport http.RoundTripper, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d", url, response.StatusCode)
	}
	return string(body), err
}

// sum adds up the series of a metric that have all of these labels, each as name="value".
func sum(metrics, name string, labels ...string) float64 {
	total := 0.0
series:
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(line, label) {
				continue series
			}
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err == nil {
			total += value
		}
	}
	return total
}

// freePort is one below those that systems give to outgoing connections, so that nobody takes it in the meantime.
func freePort(ctx context.Context) int {
	GinkgoHelper()
	for range 100 {
		port := 20_000 + random().IntN(12_000)
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		Expect(listener.Close()).To(Succeed())
		return port
	}
	Fail("no free port")
	return 0
}

// tail is the last lines of a text.
func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// output takes what a process prints.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

// String is all that was printed so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// within bounds a wait for what the design promises within seconds: that many, and some for a busy machine.
func within(d time.Duration) time.Duration { return d + 5*time.Second }
