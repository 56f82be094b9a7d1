package metrics

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// reviewTimeout bounds how long a request waits for the API server to say who somebody is and what they may do.
	reviewTimeout = 10 * time.Second
	// reviewTTL is how long what it said is believed: a token that was revoked reads metrics for that long.
	reviewTTL = time.Minute
	// keptReviews bounds how many are remembered.
	keptReviews = 128
	// maxReviews is how many it is asked for at a time. Others wait.
	maxReviews = 4
)

// guard lets the API server decide who may read metrics.
type guard struct {
	tokens   authentication.TokenReviewInterface
	access   authorization.SubjectAccessReviewInterface
	reviewed *cache.LRUExpireCache // HTTP statuses by reviewKey
	reviews  chan struct{}         // holds one for each review that is under way
}

// reviewKey is a hash of what a review was about: it has a fixed size, and no token is kept in memory.
type reviewKey [sha256.Size]byte

func newGuard(config *rest.Config, httpClient *http.Client) (*guard, error) {
	tokens, err := authentication.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	access, err := authorization.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	return &guard{
		tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(),
		reviewed: cache.NewLRUExpireCache(keptReviews), reviews: make(chan struct{}, maxReviews),
	}, nil
}

// filter lets a request through if the API server knows its bearer token (TokenReview) and lets whom it belongs to use the
// method on the path (SubjectAccessReview), as it does for paths of its own. Where the API server can't be asked, nobody is let
// through.
func (g *guard) filter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status, err := g.review(request)
		if err != nil {
			logf.Log.WithName("metrics").Error(err, "asking the API server who may read metrics: check the permissions to create tokenreviews and subjectaccessreviews")
		}
		if status != http.StatusOK {
			w.Header().Set("Connection", "close") // others may need it
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, request)
	})
}

// review is the HTTP status that a request deserves: 200, 401, 403, 503 where too many are reviewed, or 500 with the reason
// why that is not known.
func (g *guard) review(request *http.Request) (int, error) {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, nil
	}
	key := reviewKey(sha256.Sum256(fmt.Appendf(nil, "%q %q %q", token, request.Method, request.URL.Path)))
	if status, ok := g.reviewed.Get(key); ok {
		return status.(int), nil //nolint:forcetypeassert // nothing else is put there
	}
	ctx, cancel := context.WithTimeout(request.Context(), reviewTimeout)
	defer cancel()
	select {
	case g.reviews <- struct{}{}:
		defer func() { <-g.reviews }()
	case <-ctx.Done():
		return http.StatusServiceUnavailable, nil
	}
	status, err := g.ask(ctx, token, request.Method, request.URL.Path)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	g.reviewed.Add(key, status, reviewTTL)
	return status, nil
}

func (g *guard) ask(ctx context.Context, token, method, path string) (int, error) {
	who, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: strings.ToLower(method)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
