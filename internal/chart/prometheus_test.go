package chart

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// prometheus is a Prometheus, a process of its own.
type prometheus struct{ url string }

// alert is one that fires, or is about to.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
}

// sample is one series at one time.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// startPrometheus starts one that scrapes the operator of a trial as the chart's ServiceMonitor has it, every second, and
// evaluates the chart's alerts. The alerts wait for a second and no longer: how long they do wait is tested by promtool.
func startPrometheus(ctx context.Context, rendered release, t *trial) *prometheus {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	rule := rendered[rules].DeepCopy()
	groups, _, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	Expect(err).NotTo(HaveOccurred())
	for _, each := range groups[0].(map[string]any)["rules"].([]any) {
		each.(map[string]any)["for"] = "1s"
	}
	token := filepath.Join(dir, "token")
	Expect(os.WriteFile(token, []byte(t.scraper), 0o600)).To(Succeed())
	writeYAML(filepath.Join(dir, "rules.yaml"), map[string]any{"groups": groups})
	writeYAML(filepath.Join(dir, "prometheus.yaml"), map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files":     []string{"rules.yaml"},
		"scrape_configs": []any{scrapeConfig(rendered["ServiceMonitor/seam-session-operator"], token, t.port)},
	})

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	Expect(listener.Close()).To(Succeed())
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	command := exec.CommandContext(life, filepath.Join(prometheusDir, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yaml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log buffer
	command.Stdout, command.Stderr = &log, &log
	Expect(command.Start()).To(Succeed())
	DeferCleanup(func() {
		kill()
		_ = command.Wait()
		if CurrentSpecReport().Failed() {
			GinkgoWriter.Println(log.String())
		}
	})
	return &prometheus{url: "http://" + address}
}

// scrapeConfig is what the Prometheus operator would make of a ServiceMonitor, with the target given.
func scrapeConfig(monitor *unstructured.Unstructured, token string, port int) map[string]any {
	GinkgoHelper()
	endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
	Expect(err).NotTo(HaveOccurred())
	endpoint := endpoints[0].(map[string]any)
	Expect(endpoint).To(HaveKey("bearerTokenFile"))
	return map[string]any{
		"job_name":       monitor.GetName(),
		"scheme":         endpoint["scheme"],
		"metrics_path":   endpoint["path"],
		"honor_labels":   endpoint["honorLabels"],
		"tls_config":     map[string]any{"insecure_skip_verify": endpoint["tlsConfig"].(map[string]any)["insecureSkipVerify"]},
		"authorization":  map[string]any{"credentials_file": token},
		"static_configs": []any{map[string]any{"targets": []string{fmt.Sprintf("127.0.0.1:%d", port)}}},
	}
}

func writeYAML(path string, value any) {
	GinkgoHelper()
	encoded, err := sigsyaml.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(path, encoded, 0o600)).To(Succeed())
}

// query returns the series of a query, or nothing as long as Prometheus does not answer. It fails if the query can't be read.
func (p *prometheus) query(ctx context.Context, expression string) []sample {
	GinkgoHelper()
	var data struct {
		Result []sample `json:"result"`
	}
	p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression), &data)
	return data.Result
}

// firing are the alerts that fire, by name.
func (p *prometheus) firing(ctx context.Context) map[string]alert {
	GinkgoHelper()
	var data struct {
		Alerts []alert `json:"alerts"`
	}
	p.get(ctx, "/api/v1/alerts", &data)
	firing := map[string]alert{}
	for _, each := range data.Alerts {
		if each.State == "firing" {
			firing[each.Labels["alertname"]] = each
		}
	}
	return firing
}

// get reads the data of an answer, if there is one yet.
func (p *prometheus) get(ctx context.Context, path string, data any) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	Expect(response.StatusCode).To(Or(Equal(http.StatusOK), Equal(http.StatusServiceUnavailable)), path)
	if response.StatusCode == http.StatusOK {
		envelope := struct {
			Data any `json:"data"`
		}{data}
		Expect(json.NewDecoder(response.Body).Decode(&envelope)).To(Succeed())
	}
}
