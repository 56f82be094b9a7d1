package metrics

import "github.com/prometheus/client_golang/prometheus"

// NewLeftBehind registers a counter of client sessions that could not be deleted with the object that made them, and returns what
// counts one.
func NewLeftBehind(registry prometheus.Registerer) (count func(), err error) {
	counter := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "seam_client_sessions_left_behind_total",
		Help: "Client sessions that were to be deleted at Seam together with their SeamClientSession, and could not be.",
	})
	return counter.Inc, registry.Register(counter)
}
