package metrics

import "github.com/prometheus/client_golang/prometheus"

var reach = prometheus.NewDesc("seam_credentials_used",
	"How many credentials were used in the last ten minutes, by whether Seam answered (true), be it with a refusal, or could not be reached or could not answer (false) at the last call with each.",
	[]string{"answered"}, nil)

// Reach collects how many credentials Seam answers, and how many it does not.
type Reach struct {
	count func() (answered, unanswered int)
}

// NewReach returns a collector of what count returns.
func NewReach(count func() (answered, unanswered int)) *Reach { return &Reach{count: count} }

// Describe implements prometheus.Collector.
func (r *Reach) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- reach }

// Collect implements prometheus.Collector.
func (r *Reach) Collect(metrics chan<- prometheus.Metric) {
	answered, unanswered := r.count()
	metrics <- prometheus.MustNewConstMetric(reach, prometheus.GaugeValue, float64(answered), "true")
	metrics <- prometheus.MustNewConstMetric(reach, prometheus.GaugeValue, float64(unanswered), "false")
}
