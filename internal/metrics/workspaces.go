package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

var (
	workspaceReady = prometheus.NewDesc("seam_workspace_ready",
		"Whether Seam takes the credential of the SeamWorkspace, and it is of the right workspace (1) or not (0).", objectLabels, nil)
	eventsPolled = prometheus.NewDesc("seam_workspace_events_polled",
		"Whether Seam's events could be read for the SeamWorkspace last (1) or not (0). Absent if they are not to be read.", objectLabels, nil)
)

// Workspaces collects the metrics of all SeamWorkspaces when it is scraped, from the cache: so no series outlives its object.
type Workspaces struct {
	reader client.Reader
	// elected is closed once this process is the leader: a standby shows no workspaces, as it shows no sessions.
	elected <-chan struct{}
}

// NewWorkspaces returns a collector that lists SeamWorkspaces from a cache.
func NewWorkspaces(cache client.Reader, elected <-chan struct{}) *Workspaces {
	return &Workspaces{reader: cache, elected: elected}
}

// Describe implements prometheus.Collector.
func (w *Workspaces) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- workspaceReady
	descriptions <- eventsPolled
}

// Collect implements prometheus.Collector.
func (w *Workspaces) Collect(metrics chan<- prometheus.Metric) {
	select {
	case <-w.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var workspaces v1alpha1.SeamWorkspaceList
	if err := w.reader.List(ctx, &workspaces, client.UnsafeDisableDeepCopy); err != nil {
		logf.Log.WithName("metrics").Error(err, "listing SeamWorkspaces for a scrape")
		return
	}
	for i := range workspaces.Items {
		workspace := &workspaces.Items[i]
		gauge := func(description *prometheus.Desc, holds bool) {
			value := 0.0
			if holds {
				value = 1
			}
			metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, workspace.Namespace, workspace.Name)
		}
		conditions := workspace.Status.Conditions
		gauge(workspaceReady, meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady))
		if polled := meta.FindStatusCondition(conditions, v1alpha1.ConditionEventsPolled); polled != nil {
			gauge(eventsPolled, polled.Status == metav1.ConditionTrue)
		}
	}
}
