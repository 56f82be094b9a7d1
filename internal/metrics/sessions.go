package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

// scrapeTimeout bounds how long the cache may take to list sessions.
const scrapeTimeout = 5 * time.Second

var (
	objectLabels = []string{"namespace", "name"}

	ready = prometheus.NewDesc("seam_client_session_ready",
		"Whether a usable token is in the Secret of the SeamClientSession (1) or not (0).", objectLabels, nil)
	expiration = prometheus.NewDesc("seam_client_session_expiration_timestamp_seconds",
		"When the session ends, in seconds since the epoch. Absent if it does not end.", objectLabels, nil)
	nextFetch = prometheus.NewDesc("seam_client_session_next_fetch_timestamp_seconds",
		"When Seam is asked about the session again, in seconds since the epoch. Absent while that waits for a change.", objectLabels, nil)
	repairs = prometheus.NewDesc("seam_client_session_secret_repairs_total",
		"How often the Secret was corrected because somebody else had changed or deleted it. Absent if it never was.", objectLabels, nil)
	byReason = prometheus.NewDesc("seam_client_sessions",
		"How many SeamClientSessions there are, by namespace and by the reason of their condition Synced.", []string{"namespace", "reason"}, nil)
	overdue = prometheus.NewDesc("seam_fetch_overdue_seconds",
		"By how many seconds the fetch that is most overdue, of all sessions, is late; 0 if none is. It grows while the operator is stuck.", nil, nil)
)

// Sessions collects the metrics of all sessions when it is scraped, from the cache: so no series outlives its object.
type Sessions struct {
	reader client.Reader
	// elected is closed once this process is the leader: a standby shows no sessions, or each would be counted twice.
	elected <-chan struct{}
	clock   clock.PassiveClock
}

// NewSessions returns a collector that lists sessions from a cache.
func NewSessions(cache client.Reader, elected <-chan struct{}, c clock.PassiveClock) *Sessions {
	return &Sessions{reader: cache, elected: elected, clock: c}
}

// Describe implements prometheus.Collector.
func (s *Sessions) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{ready, expiration, nextFetch, repairs, byReason, overdue} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector. How late fetches are is told by a standby as well, since it can see that there is
// no leader.
func (s *Sessions) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var sessions v1alpha1.SeamClientSessionList
	if err := s.reader.List(ctx, &sessions, client.UnsafeDisableDeepCopy); err != nil {
		logf.Log.WithName("metrics").Error(err, "listing sessions for a scrape")
		return
	}
	metrics <- prometheus.MustNewConstMetric(overdue, prometheus.GaugeValue, mostOverdue(sessions.Items, s.clock.Now()).Seconds())
	select {
	case <-s.elected:
	default:
		return
	}
	counts := map[[2]string]int{}
	for i := range sessions.Items {
		collect(metrics, &sessions.Items[i])
		counts[[2]string{sessions.Items[i].Namespace, reason(&sessions.Items[i])}]++
	}
	for labels, count := range counts {
		metrics <- prometheus.MustNewConstMetric(byReason, prometheus.GaugeValue, float64(count), labels[0], labels[1])
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
	if made := session.Status.SecretRepairs; made != nil {
		metrics <- prometheus.MustNewConstMetric(repairs, prometheus.CounterValue, float64(made.Count), session.Namespace, session.Name)
	}
}

// reason is that of the condition Synced, and Pending before there is one.
func reason(session *v1alpha1.SeamClientSession) string {
	if synced := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionSynced); synced != nil {
		return synced.Reason
	}
	return v1alpha1.ReasonPending
}

// mostOverdue is how late the latest fetch is. A session that was never looked at is due since it was made.
func mostOverdue(sessions []v1alpha1.SeamClientSession, now time.Time) time.Duration {
	var most time.Duration
	for i := range sessions {
		session := &sessions[i]
		due := session.Status.NextFetchTime
		if len(session.Status.Conditions) == 0 {
			due = &session.CreationTimestamp
		}
		if due != nil && session.DeletionTimestamp.IsZero() && !session.Spec.Suspend {
			most = max(most, now.Sub(due.Time))
		}
	}
	return most
}
