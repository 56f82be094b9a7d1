package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
)

// TestFewReviewsAtATime: whoever is kept waiting too long is told to come back, and is not asked about.
func TestFewReviewsAtATime(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	reviews := &reviewer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		began <- struct{}{}
		<-release
		reviews.ServeHTTP(w, request)
	}))
	defer server.Close()
	guard, err := newGuard(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	handler := guard.filter(http.NotFoundHandler())
	ask := func(ctx context.Context, token string) int {
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
		request.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		return w.Code
	}
	statuses := make(chan int)
	for i := range maxReviews {
		go func() { statuses <- ask(t.Context(), fmt.Sprint("nobody", i)) }()
		<-began
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if status := ask(impatient, "one too many"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	close(release)
	for range maxReviews {
		if status := <-statuses; status != http.StatusUnauthorized {
			t.Errorf("status %d of one that was asked about", status)
		}
	}
	if asked := reviews.asked.Load(); asked != maxReviews {
		t.Errorf("%d questions", asked)
	}
}

func TestNothingButGetAndHeadOfMetricsGoesFurther(t *testing.T) {
	went := 0
	handler := routed(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { went++ }))
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"POST", "/metrics", 405}, {"CONNECT", "/metrics", 405}, {"AAAA", "/metrics", 405},
		{"get", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/metrics/more", 404},
	} {
		before := went
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, http.NoBody))
		if w.Code != test.status || (went > before) != (test.status == 200) {
			t.Errorf("%s %s: status %d, went further: %v", test.method, test.path, w.Code, went > before)
		}
	}
}

// reviewer is the part of an API server that reviews: it knows the tokens "reader" and "stranger", and lets the reader get
// /metrics.
type reviewer struct {
	asked  atomic.Int32
	broken atomic.Bool
}

// ServeHTTP implements http.Handler.
func (r *reviewer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.asked.Add(1)
	if r.broken.Load() {
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	var answer any
	switch request.URL.Path {
	case "/apis/authentication.k8s.io/v1/tokenreviews":
		var review authenticationv1.TokenReview
		_ = json.NewDecoder(request.Body).Decode(&review)
		review.Status.Authenticated = review.Spec.Token == "reader" || review.Spec.Token == "stranger"
		review.Status.User = authenticationv1.UserInfo{Username: review.Spec.Token, Groups: []string{"all"}, Extra: map[string]authenticationv1.ExtraValue{"a": {"b"}}}
		answer = review
	case "/apis/authorization.k8s.io/v1/subjectaccessreviews":
		var review authorizationv1.SubjectAccessReview
		_ = json.NewDecoder(request.Body).Decode(&review)
		of := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "reader" && review.Spec.Groups[0] == "all" && review.Spec.Extra["a"][0] == "b" &&
			of.Verb == "get" && of.Path == "/metrics"
		answer = review
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(answer)
}

func TestOnlyWhomTheAPIServerLetsReadsMetrics(t *testing.T) {
	r := &reviewer{}
	server := httptest.NewServer(r)
	defer server.Close()
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	guard, err := newGuard(config, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	served := 0
	handler := guard.filter(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for _, step := range []struct {
		does, authorization, path string
		broken                    bool
		status, asks              int
	}{
		{"no header", "", "/metrics", false, 401, 0},
		{"no token", "Bearer ", "/metrics", false, 401, 0},
		{"another scheme", "Basic reader", "/metrics", false, 401, 0},
		{"a token that is not known", "Bearer nobody", "/metrics", false, 401, 1},
		{"that again, remembered", "Bearer nobody", "/metrics", false, 401, 0},
		{"no API server: nobody comes in", "Bearer reader", "/metrics", true, 500, 1},
		{"who may not read", "Bearer stranger", "/metrics", false, 403, 2},
		{"who may: that there was no API server is not remembered", "Bearer reader", "/metrics", false, 200, 2},
		{"that again, remembered", "bearer reader", "/metrics", false, 200, 0},
		{"without an API server, what is remembered holds", "Bearer reader", "/metrics", true, 200, 0},
		{"another path is another question", "Bearer reader", "/debug", false, 403, 2},
	} {
		r.broken.Store(step.broken)
		before, servedBefore := r.asked.Load(), served
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, step.path, http.NoBody)
		request.Header.Set("Authorization", step.authorization)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if asks := int(r.asked.Load() - before); w.Code != step.status || asks != step.asks || (served > servedBefore) != (step.status == 200) {
			t.Errorf("%s: status %d after %d questions, served %v", step.does, w.Code, asks, served > servedBefore)
		}
	}
}
