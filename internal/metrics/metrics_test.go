package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

func TestSessionsShowsWhatTheStatusSays(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	at := metav1.NewTime(time.Unix(1_800_000_000, 0))
	cache := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1alpha1.SeamClientSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "jane"},
			Status: v1alpha1.SeamClientSessionStatus{
				ExpiresAt:     &at,
				NextFetchTime: &at,
				Conditions:    []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}},
			},
		},
		&v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}},
	).Build()
	elected := make(chan struct{})
	sessions := NewSessions(cache, elected)

	if count := testutil.CollectAndCount(sessions); count != 0 {
		t.Errorf("a standby shows %d series, want none", count)
	}
	close(elected)
	want := `
# HELP seam_client_session_expiration_timestamp_seconds When the session ends, in seconds since the epoch. Absent if it does not end.
# TYPE seam_client_session_expiration_timestamp_seconds gauge
seam_client_session_expiration_timestamp_seconds{name="jane",namespace="shop"} 1.8e+09
# HELP seam_client_session_next_fetch_timestamp_seconds When Seam is asked about the session again, in seconds since the epoch. Absent while that waits for a change.
# TYPE seam_client_session_next_fetch_timestamp_seconds gauge
seam_client_session_next_fetch_timestamp_seconds{name="jane",namespace="shop"} 1.8e+09
# HELP seam_client_session_ready Whether a usable token is in the Secret of the SeamClientSession (1) or not (0).
# TYPE seam_client_session_ready gauge
seam_client_session_ready{name="jane",namespace="shop"} 1
seam_client_session_ready{name="new",namespace="shop"} 0
`
	if err := testutil.CollectAndCompare(sessions, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestCallsAreCountedByRouteAndCode(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	registry := prometheus.NewRegistry()
	calls, err := NewCalls(registry, testclock.NewFakePassiveClock(time.Unix(0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: calls.Instrument(http.DefaultTransport)}
	post := func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/base/client_sessions/get", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}
	post()
	server.Close()
	post()

	want := `
# HELP seam_api_requests_total Calls to Seam, by route and by HTTP status code; code none is a call that got no answer.
# TYPE seam_api_requests_total counter
seam_api_requests_total{code="418",route="/client_sessions/get"} 1
seam_api_requests_total{code="none",route="/client_sessions/get"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "seam_api_requests_total"); err != nil {
		t.Error(err)
	}
}
