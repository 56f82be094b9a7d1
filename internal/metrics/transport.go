package metrics

import (
	"net/http"
	"path"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// codeNone is the code of a call that got no answer.
const codeNone = "none"

// Calls measures the calls to Seam.
type Calls struct {
	clock    clock.PassiveClock
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewCalls returns metrics of calls, and registers them.
func NewCalls(registry prometheus.Registerer, c clock.PassiveClock) (*Calls, error) {
	calls := &Calls{
		clock: c,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "seam_api_requests_total",
			Help: "Calls to Seam, by route and by HTTP status code; code none is a call that got no answer.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "seam_api_request_duration_seconds",
			Help:    "How long Seam took to begin its answer, by route.",
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	for _, collector := range []prometheus.Collector{calls.requests, calls.duration} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// Instrument measures what goes through a transport.
func (c *Calls) Instrument(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		began := c.clock.Now()
		response, err := next.RoundTrip(request)
		route := route(request)
		c.duration.WithLabelValues(route).Observe(c.clock.Since(began).Seconds())
		code := codeNone
		if err == nil {
			code = strconv.Itoa(response.StatusCode)
		}
		c.requests.WithLabelValues(route, code).Inc()
		return response, err
	})
}

// route is the last two parts of the path, as Seam names its routes, whatever path the endpoint begins with.
func route(request *http.Request) string {
	resource, action := path.Split(request.URL.Path)
	return "/" + path.Base(resource) + "/" + action
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
