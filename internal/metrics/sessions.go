package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// scrapeTimeout bounds how long the cache may take to list sessions.
const scrapeTimeout = 5 * time.Second

var (
	sessionLabels = []string{"namespace", "name"}

	ready = prometheus.NewDesc("seam_client_session_ready",
		"Whether a usable token is in the Secret of the SeamClientSession (1) or not (0).", sessionLabels, nil)
	expiration = prometheus.NewDesc("seam_client_session_expiration_timestamp_seconds",
		"When the session ends, in seconds since the epoch. Absent if it does not end.", sessionLabels, nil)
	nextFetch = prometheus.NewDesc("seam_client_session_next_fetch_timestamp_seconds",
		"When Seam is asked about the session again, in seconds since the epoch. Absent while that waits for a change.", sessionLabels, nil)
)

// Sessions collects the metrics of all sessions when it is scraped, from the cache: so no series outlives its object.
type Sessions struct {
	reader client.Reader
	// elected is closed once this process is the leader: a standby shows no sessions, or each would be counted twice.
	elected <-chan struct{}
}

// NewSessions returns a collector that lists sessions from a cache.
func NewSessions(cache client.Reader, elected <-chan struct{}) *Sessions {
	return &Sessions{reader: cache, elected: elected}
}

// Describe implements prometheus.Collector.
func (s *Sessions) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- ready
	descriptions <- expiration
	descriptions <- nextFetch
}

// Collect implements prometheus.Collector.
func (s *Sessions) Collect(metrics chan<- prometheus.Metric) {
	select {
	case <-s.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var sessions v1alpha1.SeamClientSessionList
	if err := s.reader.List(ctx, &sessions, client.UnsafeDisableDeepCopy); err != nil {
		logf.Log.WithName("metrics").Error(err, "listing sessions for a scrape")
		return
	}
	for i := range sessions.Items {
		collect(metrics, &sessions.Items[i])
	}
}

func collect(metrics chan<- prometheus.Metric, session *v1alpha1.SeamClientSession) {
	gauge := func(description *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, session.Namespace, session.Name)
	}
	instant := func(description *prometheus.Desc, t *metav1.Time) {
		if t != nil {
			gauge(description, float64(t.Unix()))
		}
	}
	isReady := 0.0
	if meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionReady) {
		isReady = 1
	}
	gauge(ready, isReady)
	instant(expiration, session.Status.ExpiresAt)
	instant(nextFetch, session.Status.NextFetchTime)
}
