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
				SecretRepairs: &v1alpha1.SecretRepairs{Count: 7, LastTime: at},
				Conditions: []metav1.Condition{
					{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue},
					{Type: v1alpha1.ConditionSynced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRateLimited},
				},
			},
		},
		&v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new", CreationTimestamp: at}},
		&v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "newer", CreationTimestamp: at}},
	).Build()
	elected := make(chan struct{})
	sessions := NewSessions(cache, elected, testclock.NewFakePassiveClock(at.Add(90*time.Second)))

	late := `
# HELP seam_fetch_overdue_seconds By how many seconds the fetch that is most overdue, of all sessions, is late; 0 if none is. It grows while the operator is stuck.
# TYPE seam_fetch_overdue_seconds gauge
seam_fetch_overdue_seconds 90
`
	if err := testutil.CollectAndCompare(sessions, strings.NewReader(late)); err != nil {
		t.Errorf("of a standby: %v", err)
	}
	close(elected)
	want := late + `
# HELP seam_client_sessions How many SeamClientSessions there are, by namespace and by the reason of their condition Synced.
# TYPE seam_client_sessions gauge
seam_client_sessions{namespace="shop",reason="Pending"} 2
seam_client_sessions{namespace="shop",reason="RateLimited"} 1
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
seam_client_session_ready{name="newer",namespace="shop"} 0
# HELP seam_client_session_secret_repairs_total How often the Secret was corrected because somebody else had changed or deleted it. Absent if it never was.
# TYPE seam_client_session_secret_repairs_total counter
seam_client_session_secret_repairs_total{name="jane",namespace="shop"} 7
`
	if err := testutil.CollectAndCompare(sessions, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestWorkspacesShowWhatTheStatusSays(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	workspace := func(name string, conditions ...metav1.Condition) *v1alpha1.SeamWorkspace {
		return &v1alpha1.SeamWorkspace{
			ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name},
			Status:     v1alpha1.SeamWorkspaceStatus{Conditions: conditions},
		}
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}
	cache := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		workspace("new"),
		workspace("unknown", metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown}),
		workspace("polled", ready, metav1.Condition{Type: v1alpha1.ConditionEventsPolled, Status: metav1.ConditionTrue}),
		workspace("unpolled", ready, metav1.Condition{Type: v1alpha1.ConditionEventsPolled, Status: metav1.ConditionFalse}),
		workspace("not-to-be-polled", ready),
	).Build()
	elected := make(chan struct{})
	workspaces := NewWorkspaces(cache, elected)
	if n := testutil.CollectAndCount(workspaces); n != 0 {
		t.Errorf("a standby shows %d series, want none", n)
	}
	close(elected)
	want := `
# HELP seam_workspace_events_polled Whether Seam's events could be read for the SeamWorkspace last (1) or not (0). Absent if they are not to be read.
# TYPE seam_workspace_events_polled gauge
seam_workspace_events_polled{name="polled",namespace="platform"} 1
seam_workspace_events_polled{name="unpolled",namespace="platform"} 0
# HELP seam_workspace_ready Whether Seam takes the credential of the SeamWorkspace, and it is of the right workspace (1) or not (0).
# TYPE seam_workspace_ready gauge
seam_workspace_ready{name="new",namespace="platform"} 0
seam_workspace_ready{name="not-to-be-polled",namespace="platform"} 1
seam_workspace_ready{name="polled",namespace="platform"} 1
seam_workspace_ready{name="unknown",namespace="platform"} 0
seam_workspace_ready{name="unpolled",namespace="platform"} 1
`
	if err := testutil.CollectAndCompare(workspaces, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestReachIsBothCounts(t *testing.T) {
	want := `
# HELP seam_credentials_used How many credentials were used in the last ten minutes, by whether Seam answered (true), be it with a refusal, or could not be reached or could not answer (false) at the last call with each.
# TYPE seam_credentials_used gauge
seam_credentials_used{answered="false"} 2
seam_credentials_used{answered="true"} 3
`
	if err := testutil.CollectAndCompare(NewReach(func() (int, int) { return 3, 2 }), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestOverdueIsTheLatestFetchThatIsStillToCome(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	looked := []metav1.Condition{{Type: v1alpha1.ConditionSynced}}
	session := func(created, next metav1.Time, conditions []metav1.Condition) v1alpha1.SeamClientSession {
		s := v1alpha1.SeamClientSession{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: created}}
		s.Status.Conditions = conditions
		if !next.IsZero() {
			s.Status.NextFetchTime = &next
		}
		return s
	}
	suspended := session(ago(time.Hour), metav1.Time{}, nil)
	suspended.Spec.Suspend = true
	going := session(ago(time.Hour), ago(time.Hour), looked)
	gone := ago(0)
	going.DeletionTimestamp = &gone
	for name, test := range map[string]struct {
		sessions []v1alpha1.SeamClientSession
		want     time.Duration
	}{
		"no session":                    {nil, 0},
		"due later":                     {[]v1alpha1.SeamClientSession{session(ago(time.Hour), ago(-time.Minute), looked)}, 0},
		"waits for a change":            {[]v1alpha1.SeamClientSession{session(ago(time.Hour), metav1.Time{}, looked)}, 0},
		"suspended before its first":    {[]v1alpha1.SeamClientSession{suspended}, 0},
		"going":                         {[]v1alpha1.SeamClientSession{going}, 0},
		"never looked at":               {[]v1alpha1.SeamClientSession{session(ago(time.Hour), metav1.Time{}, nil)}, time.Hour},
		"two are late: the later tells": {[]v1alpha1.SeamClientSession{session(ago(time.Hour), ago(time.Second), looked), session(ago(time.Hour), ago(time.Minute), looked)}, time.Minute},
	} {
		if got := mostOverdue(test.sessions, now); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
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
